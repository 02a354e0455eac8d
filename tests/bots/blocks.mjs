// Draws a QR code's modules as the usual npm packages do: small (half blocks) or large (ANSI).
const HALVES = { "00": "█", "01": "▀", "10": "▄", "11": " " };

export function small(modules) {
  const width = modules[0].length;
  const rows = modules.length % 2 ? [...modules, "0".repeat(width)] : modules;
  const lines = ["▄".repeat(width + 2)];
  for (let row = 0; row < rows.length; row += 2) {
    const cells = [...rows[row]].map((cell, at) => HALVES[cell + rows[row + 1][at]]);
    lines.push("█" + cells.join("") + "█");
  }
  if (modules.length % 2 === 0) lines.push("▀".repeat(width + 2));
  return lines.join("\n");
}

export function large(modules) {
  const white = "\x1b[47m  \x1b[0m";
  const black = "\x1b[40m  \x1b[0m";
  const border = white.repeat(modules[0].length + 2);
  const drawn = (row) => white + [...row].map((cell) => (cell === "1" ? black : white)).join("") + white;
  return [border, ...modules.map(drawn), border].join("\n");
}
