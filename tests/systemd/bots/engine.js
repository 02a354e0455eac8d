// What a Node bot needs of the sandbox: V8's compiler, the machine's numbers, its network.
const os = require("os");

function hot(count) {
  let sum = 0;
  for (let i = 0; i < count; i++) sum = (sum + i * 7) % 1000003;
  return sum;
}

for (let i = 0; i < 50; i++) hot(100000); // with --trace-opt it tells that this was compiled
if (os.cpus().length === 0) throw new Error("no processors");
if (Object.keys(os.networkInterfaces()).length === 0) throw new Error("no network");
process.on("SIGTERM", () => process.exit(0));
setInterval(() => {}, 1000);
console.log("the engine runs");
