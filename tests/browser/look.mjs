// Look at pages with Chromium: `node look.mjs JOB.json` prints what was found, as JSON.
// JOB: {browser, pages: [{url, width, scheme, picture}]}; only file:// and this machine are asked for anything.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const job = JSON.parse(await readFile(process.argv[2], "utf-8"));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-gpu"];

const local = /^(file:|data:|http:\/\/127\.0\.0\.1[:/])/;
const browser = await chromium.launch({
  executablePath: job.browser, headless: true, chromiumSandbox: false, args: quiet, // the profile is a new, empty one
});
const found = [];
for (const { url, width, scheme, picture } of job.pages) {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion: "reduce", bypassCSP: true,
  });
  await context.route("**", (route) => (local.test(route.request().url()) ? route.continue() : route.abort()));
  const page = await context.newPage();
  await page.goto(url, { waitUntil: "load" });
  if (picture) await page.screenshot({ path: picture, fullPage: true });
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run(document));
  found.push({
    url, width, scheme, passes: passes.length,
    ground: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    reaches: await page.evaluate(() => document.documentElement.scrollWidth),
    violations: violations.map(({ id, impact, nodes }) =>
      ({ id, impact, where: nodes.slice(0, 5).map((node) => node.html.slice(0, 160)), count: nodes.length })),
  });
  await context.close();
}
await browser.close();
console.log(JSON.stringify(found));
