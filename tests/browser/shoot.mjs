// Takes pictures of pages, prints them, and reduces PNG files to a palette: answers one JSON request of chromium.py.
import { readFileSync, writeFileSync } from "node:fs";
import puppeteer from "puppeteer-core";
import UPNG from "upng-js";

const COLOURS = 48;
const request = JSON.parse(readFileSync(0, "utf8"));

function reduced(png) {
  const image = UPNG.decode(png);
  return Buffer.from(UPNG.encode(UPNG.toRGBA8(image), image.width, image.height, COLOURS));
}

const browser = await puppeteer.launch({ executablePath: request.chromium, args: ["--no-sandbox", "--hide-scrollbars"] });
for (const { url, width, height, scheme = "light", at = "body", file } of request.shots ?? []) {
  const page = await browser.newPage();
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(url);
  await page.evaluate((place) => document.querySelector(place).scrollIntoView(), at);
  writeFileSync(file, reduced(await page.screenshot()));
  await page.close();
}
for (const { url, file } of request.prints ?? []) {
  const page = await browser.newPage();
  await page.goto(url);
  await page.pdf({ path: file, format: "A4" });
  await page.close();
}
await browser.close();
for (const file of request.reduce ?? []) writeFileSync(file, reduced(readFileSync(file)));
