// Judges changed files of a Node bot: only whether they can be parsed. Runs in the bot's own Node.
//
// A request on stdin: {"files": [paths], "cwd": folder, "runner": what runs the bot in the end}.
// The answer on stdout: for each file null, or [line, column, text]. It runs nothing of the bot
// but its own compiler. Not `node --check`: that takes one file, and passes a broken module whose
// package.json does not say what it is.
"use strict";
const { spawnSync } = require("child_process");
const fs = require("fs");
const { createRequire, stripTypeScriptTypes } = require("module");
const path = require("path");
const vm = require("vm");

const { files, cwd, runner } = JSON.parse(fs.readFileSync(0, "utf8"));
const itself = runner === "node"; // else a loader takes both kinds of modules in each file
const project = createRequire(path.join(cwd, "_"));

// What the CommonJS parser says of a file that is a module.
const MODULE = /import statement outside|import\.meta|Unexpected token 'export'|await is only valid/;

function script(source, file) {
  try {
    vm.compileFunction(source, ["exports", "require", "module", "__filename", "__dirname"], {
      filename: file,
    });
    return null;
  } catch (error) {
    return seen(String(error.stack), `${error.name}: ${error.message}`);
  }
}

function moduleOf(source) {
  try {
    new vm.SourceTextModule(source);
    return null;
  } catch (error) {
    // Which line it is, V8 tells only whom it ends.
    const flags = ["--check", "--input-type=module", "-"];
    const told = spawnSync(process.execPath, flags, { input: source, encoding: "utf8" });
    return seen(told.stderr || "", `${error.name}: ${error.message}`);
  }
}

// `file:3`, the line itself, and below it the place.
function seen(stack, text) {
  const [head, , carets] = stack.split("\n");
  const line = /:(\d+)$/.exec(head || "");
  const column = line && /^\s*\^/.test(carets || "") ? carets.indexOf("^") + 1 : null;
  return [line ? Number(line[1]) : null, column, text];
}

function typeOf(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8")).type;
    } catch (error) {
      if (error.code !== "ENOENT") return undefined; // it is judged by itself
    }
    if (folder === path.dirname(folder)) return undefined;
  }
}

function javascript(source, file) {
  source = source.replace(/^#!.*/, "");
  const ending = path.extname(file);
  const type = ending === ".js" ? typeOf(file) : ending === ".mjs" ? "module" : "commonjs";
  if (itself && type === "module") return moduleOf(source);
  const wrong = script(source, file);
  if (wrong === null || (itself && type === "commonjs")) return wrong;
  const module = moduleOf(source);
  return module && (type === "module" || MODULE.test(wrong[2])) ? module : module && wrong;
}

function own(load) {
  try {
    return load();
  } catch {
    return null; // it is not installed, or not as we know it
  }
}

const compiler = () => {
  const found = own(() => project("typescript"));
  return found && found.transpileModule ? found : null; // the native one has no such thing
};
const esbuild = () => own(() => createRequire(project.resolve("tsx/package.json"))("esbuild"));

function byCompiler(ts, source, file) {
  const { diagnostics } = ts.transpileModule(source, {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ESNext, jsx: ts.JsxEmit.Preserve },
  });
  // Of a single file it tells only what its grammar forbids; of no file, what its options do.
  const wrong = diagnostics.find((each) => each.file);
  return wrong ? ofTypescript(ts, wrong) : null;
}

function ofTypescript(ts, wrong) {
  const at = wrong.file ? wrong.file.getLineAndCharacterOfPosition(wrong.start) : null;
  const text = `SyntaxError: ${ts.flattenDiagnosticMessageText(wrong.messageText, " ")}`;
  return [at && at.line + 1, at && at.character + 1, text];
}

function byEsbuild(build, source, file) {
  const loader = file.endsWith(".tsx") ? "tsx" : /\.[cm]?ts$/.test(file) ? "ts" : "js";
  let wrong = null;
  for (const experimentalDecorators of [false, true]) {
    const tsconfigRaw = { compilerOptions: { experimentalDecorators } };
    try {
      build.transformSync(source, { loader, tsconfigRaw, logLevel: "silent" });
      return null;
    } catch (error) {
      if (!error.errors || !error.errors.length) return null; // it does not run at all
      wrong = wrong || error.errors[0];
    }
  }
  const at = wrong.location;
  return [at && at.line, at && at.column + 1, `SyntaxError: ${wrong.text}`];
}

function typescript(source, file) {
  if (itself) {
    if (!process.features.typescript || !stripTypeScriptTypes) return null;
    try {
      stripTypeScriptTypes(source, { sourceUrl: file });
      return null;
    } catch (error) {
      return seen(String(error.stack), `${error.name}: ${error.message}`);
    }
  }
  const ts = compiler();
  return ts && byCompiler(ts, source, file);
}

function judge(file) {
  let source;
  try {
    source = fs.readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(error.code)) return null;
    return [null, null, `${error.code}: can't be read`];
  }
  const name = path.basename(file);
  if (name.endsWith(".json")) {
    const ts = compiler();
    const wrong = ts && ts.parseConfigFileTextToJson(file, source).error;
    return wrong ? ofTypescript(ts, wrong) : null;
  }
  const build = runner === "tsx" ? esbuild() : null; // which reads all that it runs
  if (build) return byEsbuild(build, source, file);
  if (/\.[cm]?tsx?$/.test(name)) return typescript(source, file);
  return runner === "bun" ? null : javascript(source, file); // it takes JSX in every file
}

fs.writeSync(1, JSON.stringify(files.map(judge)));
