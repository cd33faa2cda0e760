// Looks at pages in the Chromium of the machine: answers one JSON request of chromium.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const request = JSON.parse(readFileSync(0, "utf8"));
const browser = await puppeteer.launch({ executablePath: request.chromium, args: ["--no-sandbox", "--hide-scrollbars"] });

async function look({ url, width, height = 844, scheme = "light", media = "screen", audit = false }) {
  const page = await browser.newPage();
  const requested = [], dialogs = [];
  page.on("request", (one) => requested.push(one.url()));
  page.on("dialog", (one) => { dialogs.push(one.message()); one.dismiss(); });
  await page.setViewport({ width, height });
  await page.emulateMediaType(media);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(url);
  const seen = await page.evaluate(() => {
    const target = document.querySelector(":target");
    const box = target?.getBoundingClientRect();
    return {
      wide: document.documentElement.scrollWidth - window.innerWidth,
      styled: document.querySelectorAll("[style]").length,
      scripts: document.querySelectorAll("script").length,
      ground: getComputedStyle(document.documentElement).backgroundColor,
      target: target && {
        tag: target.tagName,
        text: target.textContent,
        open: target.closest("details")?.open ?? null,
        outline: getComputedStyle(target).outlineStyle,
        inView: box.top >= 0 && box.bottom <= window.innerHeight,
      },
    };
  });
  if (audit) {
    await page.evaluate(axe); // by the debugger, so that the page's own policy stays in force
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    seen.violations = found.violations.map((one) => `${one.id}: ${one.help} (${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")})`);
    seen.rules = found.passes.length;
  }
  await page.close();
  return { ...seen, requested, dialogs };
}

const answers = [];
for (const one of request.looks) answers.push(await look(one));
await browser.close();
process.stdout.write(JSON.stringify(answers));
