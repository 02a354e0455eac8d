// A bot as people write it with Baileys: its session is a folder of JSON files that it rewrites in
// place, all the time. It has no handler for any signal: most have none. There is no library in
// it: the network is a test's, the files are those of useMultiFileAuthState.
import { createHash, generateKeyPairSync, randomBytes, randomInt } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { hostname } from "node:os";
import { createInterface } from "node:readline";
import { large } from "./blocks.mjs";

const settings = JSON.parse(readFileSync("settings.json", "utf8"));
const folder = "auth_info_baileys";

function log(msg, fields = {}, level = 30) {
  const head = { level, time: new Date().toJSON(), pid: process.pid, hostname: hostname() };
  console.log(JSON.stringify({ ...head, class: "baileys", ...fields, msg }));
}

const bytes = (data) => ({ type: "Buffer", data: Buffer.from(data).toString("base64") });

function keyPair() {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const raw = (key, type) => bytes(key.export({ type, format: "der" }).subarray(-32));
  return { private: raw(privateKey, "pkcs8"), public: raw(publicKey, "spki") };
}

function freshCreds() {
  return {
    noiseKey: keyPair(),
    pairingEphemeralKeyPair: keyPair(),
    signedIdentityKey: keyPair(),
    signedPreKey: { keyPair: keyPair(), signature: bytes(randomBytes(64)), keyId: 1 },
    registrationId: randomInt(1, 16380),
    advSecretKey: randomBytes(32).toString("base64"),
    processedHistoryMessages: [],
    nextPreKeyId: 1,
    firstUnuploadedPreKeyId: 1,
    accountSyncCounter: 0,
    accountSettings: { unarchiveChats: false },
    registered: false,
  };
}

// Not atomic, and what does not parse is as if it were not there: so does Baileys.
const write = (name, value) => writeFile(`${folder}/${name}.json`, JSON.stringify(value));
const read = async (name) => {
  try {
    return JSON.parse(await readFile(`${folder}/${name}.json`, "utf8"));
  } catch {
    return null;
  }
};

mkdirSync(folder, { recursive: true });
const creds = (await read("creds")) ?? freshCreds();
const session = () => `session-${creds.me.id.split(/[:@]/)[0]}.0`;
let chain = 0;

async function moreKeys() {
  const until = creds.nextPreKeyId + 5;
  while (creds.nextPreKeyId < until) await write(`pre-key-${creds.nextPreKeyId++}`, keyPair());
  const id = randomBytes(6).toString("base64").replace(/\//g, "__");
  const key = { keyData: bytes(randomBytes(32)), timestamp: `${Date.now()}` };
  await write(`app-state-sync-key-${id}`, key);
  await write("creds", creds);
}

async function heard(wire, said) {
  if (said.qr) {
    console.log(large(said.modules));
  } else if (said.pair) {
    creds.me = { id: said.pair, lid: `${randomInt(1e9)}:1@lid`, name: "bot" };
    creds.account = { accountSignatureKey: bytes(randomBytes(32)) };
    creds.registered = true;
    await write(session(), { chain: 0, version: "v1" });
    await moreKeys();
    log("pairing configured successfully, expect to restart the connection...", { me: creds.me });
    wire.end();
  } else if (said.success) {
    log("opened connection to WA");
    await moreKeys();
    setInterval(() => write("creds", { ...creds, lastAccountSyncTimestamp: Date.now() }), 20);
  } else if (said.conflict) {
    log("stream errored out", { node: { tag: "stream:error", reason: "conflict" } }, 50);
    process.exit(1);
  } else if (said.failure) {
    log("connection errored", { trace: `Error: Connection Failure (${said.failure})` }, 50);
    console.log("Connection closed. You are logged out.");
    process.exit(1);
  } else if (said.message) {
    chain = said.n;
    const ratchet = createHash("sha256").update(`${chain}`).digest("base64");
    await write(session(), { chain, ratchet, version: "v1" });
    wire.write(JSON.stringify({ ack: said.n, reply: `re: ${said.message}` }) + "\n");
  }
}

function connect() {
  const wire = createConnection(settings.port, "127.0.0.1", async () => {
    chain = creds.me ? ((await read(session()))?.chain ?? 0) : 0;
    const identity = creds.signedIdentityKey.public.data;
    wire.write(JSON.stringify({ device: creds.me?.id ?? null, identity, chain }) + "\n");
    log("connected to WA", { browser: ["Ubuntu", "Chrome", "22.04.4"] });
    log(creds.me ? "logging in..." : "not logged in, attempting registration...");
  });
  let last = Promise.resolve(); // one after the other
  const lines = createInterface({ input: wire });
  lines.on("line", (line) => (last = last.then(() => heard(wire, JSON.parse(line)))));
  wire.on("error", () => log("connection errored", {}, 50));
  wire.on("close", () => last.then(() => setTimeout(connect, 50)));
}

connect();
