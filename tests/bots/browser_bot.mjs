// A bot as people write it with whatsapp-web.js: a browser keeps the session, this only drives it.
// Knows its chat page and its browser by settings.json, and nothing of who supervises it.
import { mkdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { small } from "./blocks.mjs";

const settings = JSON.parse(readFileSync("settings.json", "utf8"));
const profile = resolve(".wwebjs_auth/session-x");

async function withPlaywright() {
  const { chromium } = await import("playwright-core");
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: settings.browser,
    headless: true,
  });
  // Not process.exit: Playwright would kill the browser while it still saves.
  context.on("close", () => (process.exitCode = 1));
  return context.pages()[0] ?? (await context.newPage());
}

async function withPuppeteer() {
  const { default: puppeteer } = await import("puppeteer-core");
  const browser = await puppeteer.launch({
    executablePath: settings.browser,
    headless: true,
    userDataDir: profile,
    args: ["--no-sandbox"],
  });
  browser.on("disconnected", () => process.exit(1));
  return (await browser.pages())[0] ?? (await browser.newPage());
}

mkdirSync(profile, { recursive: true });
const page = await (settings.driver === "puppeteer" ? withPuppeteer() : withPlaywright());
page.setDefaultTimeout(0); // a person scans when they have time
await page.goto(settings.url);
await page.waitForFunction(() => document.body.dataset.ref || document.body.dataset.device);
const modules = await page.evaluate(() => document.body.dataset.modules ?? "");
if (modules) {
  console.log(small(modules.split(",")));
  await page.waitForFunction(() => document.body.dataset.device);
  console.log("AUTHENTICATED");
}
console.log("Client is ready!");
