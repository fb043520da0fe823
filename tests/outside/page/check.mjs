// Opens the status page of a sidecar in a real browser and looks at it as its users do.
//
// Runs as the command of `outrigger up examples/agdb --exec …`, whose variables tell where the
// replicas are. Besides: OUTRIGGER, the program; CHROMIUM, the browser; PICTURES, where pictures go.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const run = promisify(execFile);
const axe = createRequire(import.meta.url)("axe-core");
const { OUTRIGGER, OUTRIGGER_STATE, CHROMIUM, PICTURES } = process.env;
const url = (pod) => `http://${process.env[`OUTRIGGER_ADDR_${pod.toUpperCase().replace("-", "_")}_OUTRIGGER`]}/`;

/** What a changed page may take: probes look every second, a hung replica is missed after some. */
const LIVE_MS = 30_000;

const WIDE = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const NARROW = { width: 320, height: 640 };

let passed = 0;
async function check(name, body) {
  try {
    await body();
  } catch (error) {
    console.error(`page: FAILED: ${name}`);
    throw error;
  }
  passed += 1;
  console.log(`page: ${name}`);
}

/** Everything that a page must not do, noted as it happens. */
function watch(page, origin) {
  const bad = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) bad.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => bad.push(`script: ${error.stack}`));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (!["data:", "blob:"].includes(to.protocol) && to.origin !== origin) bad.push(`request: ${request.url()}`);
    if (request.method() !== "GET") bad.push(`it does not only read: ${request.method()} ${request.url()}`);
  });
  page.on("response", (response) => {
    if (!response.ok()) bad.push(`status ${response.status()}: ${response.url()}`);
  });
  return bad;
}

async function open(browser, pod, { viewport = WIDE, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(LIVE_MS);
  const bad = watch(page, new URL(url(pod)).origin);
  await page.goto(url(pod));
  await page.getByText("live", { exact: true }).waitFor();
  await page.locator("#timeline > li[data-seq]").first().waitFor();
  return { page, bad, close: () => context.close() };
}

const shot = (page, name) => page.screenshot({ path: path.join(PICTURES, `${name}.png`), fullPage: true });
const command = (...args) => run(OUTRIGGER, [args[0], "--state", OUTRIGGER_STATE, ...args.slice(1)]);
const status = async (pod) => (await fetch(`${url(pod)}status`)).json();
const tile = (page, pod) => page.locator(`#peers > li[data-replica="${pod}"]`);
const probe = (page, name) => page.locator(`#probes > li[data-probe="${name}"]`);
const shows = (locator, text) => locator.filter({ hasText: text }).first().waitFor();

async function everyPartIsThere(page, pod) {
  const now = await status(pod);
  await check("it names the replica, its role and that it is ready", async () => {
    assert.equal(await page.locator("h1").innerText(), pod);
    await shows(page.locator("#summary"), now.role);
    await shows(page.locator("#summary"), "ready");
    assert.match(await page.title(), new RegExp(pod));
  });
  await check("it shows every probe", async () => {
    for (const { name } of now.probes) await shows(probe(page, name), "passes");
  });
  await check("it shows every replica with phase, role and address", async () => {
    for (const replica of now.peers.replicas) {
      await shows(tile(page, replica.name), "ready");
      await shows(tile(page, replica.name), replica.role);
      await shows(tile(page, replica.name), replica.addresses[0]);
    }
  });
  await check("it shows the facts, the files, the profile, the plugin and the sidecar", async () => {
    for (const name of Object.keys(now.attrs)) await shows(page.locator("#attrs"), name);
    for (const [file, digest] of Object.entries(now.files.digests)) {
      await shows(page.locator("#files"), file);
      await shows(page.locator("#files"), digest.slice(0, 12));
    }
    for (const text of [now.profile.name, `${now.plugin.name} ${now.plugin.version}`, now.plugin.digest.slice(0, 12), now.sidecar.version]) {
      await shows(page.locator("#use"), text);
    }
  });
  await check("its timeline has what /timeline has, newest first", async () => {
    const { entries } = await (await fetch(`${url(pod)}timeline`)).json();
    for (const entry of entries) await shows(page.locator(`#timeline > li[data-seq="${entry.seq}"]`), entry.message);
    const order = await page.locator("#timeline > li[data-seq]").evaluateAll((rows) => rows.map((row) => Number(row.dataset.seq)));
    assert.deepEqual(order, [...order].sort((a, b) => b - a));
  });
}

/** No sideways scrolling, neither of the page nor of anything in it. */
async function fits(page) {
  const wide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const wider = [...document.querySelectorAll("body *")]
      .filter((node) => !node.matches(".skip") && node.getBoundingClientRect().width > 0)
      .filter((node) => node.getBoundingClientRect().right > width + 0.5 || (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX === "auto"));
    return [document.documentElement.scrollWidth > width ? "the page" : "", ...wider.map((node) => node.outerHTML.slice(0, 120))].filter(Boolean);
  });
  assert.deepEqual(wide, [], "wider than the window");
}

/** What axe-core finds: contrast, names, structure. */
async function accessible(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 160)}`));
  assert.deepEqual(found, [], "axe-core's findings");
}

async function keyboard(page) {
  await page.locator("body").press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip", "first stop");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main", "the skip link leads to the content");
  const wanted = new Set(["kind", "text"]);
  let details = false;
  for (let stops = 0; stops < 40 && (wanted.size > 0 || !details); stops += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const node = document.activeElement;
      return { id: node.id, tag: node.tagName, outline: getComputedStyle(node).outlineStyle };
    });
    assert.notEqual(at.outline, "none", `the focus on ${at.tag}#${at.id} is seen`);
    wanted.delete(at.id);
    if (at.tag === "SUMMARY") {
      details = true;
      await page.keyboard.press("Enter");
      assert.ok(await page.evaluate(() => document.activeElement.parentElement.open), "Enter opens the facts");
    }
  }
  assert.ok(details && wanted.size === 0, `never reached: ${[...wanted]}, facts: ${details}`);
}

async function filters(page) {
  const rows = page.locator("#timeline > li[data-seq]");
  const all = await rows.count();
  await page.getByLabel("Kind").selectOption("role");
  const roles = await rows.count();
  assert.ok(roles > 0 && roles < all, `${roles} of ${all}`);
  await page.getByLabel("Kind").selectOption("");
  await page.getByLabel("Text").fill("set 1 of rendered files");
  assert.equal(await rows.count(), 1);
  await page.getByLabel("Text").fill("");
}

/** The page of one replica while others are killed and hang, without a reload. */
async function live(page, pod, others) {
  await page.evaluate(() => { globalThis.notReloaded = true; });
  const newest = (await (await fetch(`${url(pod)}timeline`)).json()).newest;
  await check("a replica that was killed is missed, and seen when it is back", async () => {
    // One that is back within its first back-off may be missed by nobody; each next one is longer.
    const missed = page.waitForFunction(
      ([after, replica]) => [...document.querySelectorAll("#timeline > li[data-seq]")].some(
        (row) => Number(row.dataset.seq) > after && row.textContent.includes(replica) && /went from ready|has no role/.test(row.textContent)),
      [newest, `replica ${others[0].split("-").pop()} `],
    ).then(() => true);
    let seen = false;
    while (!seen) {
      await command("kill", others[0]).catch((error) => console.log(`page: not killed again: ${error.stderr}`));
      seen = await Promise.race([missed, new Promise((done) => setTimeout(done, 4000, false))]);
    }
    await shows(tile(page, others[0]).locator(".chip.good"), "ready");
    await shows(tile(page, others[0]), /leader|follower/);
  });
  await check("without a majority it says why, and that this does not take it out of service", async () => {
    for (const other of others) await command("kill", other, "--signal", "STOP");
    await shows(probe(page, "readiness"), /no-quorum|no-leader/);
    await shows(probe(page, "readiness"), "of the cluster, does not take it out of service");
    await shows(page.locator("#trouble"), "readiness passes, though");
    for (const other of others) await tile(page, other).locator(".chip.good").waitFor({ state: "detached" });
    await accessible(page);
    await shot(page, "no-majority");
  });
  await check("and when all is well again", async () => {
    for (const other of others) await command("kill", other, "--signal", "CONT");
    for (const other of others) await shows(tile(page, other).locator(".chip.good"), "ready");
    await probe(page, "readiness").locator(".reasons").waitFor({ state: "detached" });
  });
  assert.ok(await page.evaluate(() => globalThis.notReloaded), "the page was never loaded anew");
}

/** What a replica shows that is itself not ready. */
async function trouble(browser, pod) {
  const { page, bad, close } = await open(browser, pod, { colorScheme: "dark" });
  await command("kill", pod, "--signal", "STOP");
  await shows(page.locator("#trouble"), "readiness fails");
  await shows(page.locator("#summary"), "not ready");
  await accessible(page);
  await shot(page, "not-ready-dark");
  await command("kill", pod, "--signal", "CONT");
  await page.locator("#trouble").waitFor({ state: "hidden" });
  assert.deepEqual(bad, []);
  await close();
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
try {
  const pods = ["agdb-0", "agdb-1", "agdb-2"];
  const { page, bad, close } = await open(browser, pods[0]);
  await everyPartIsThere(page, pods[0]);
  await shot(page, "wide-light");
  await check("keys alone reach everything, and the focus is seen", () => keyboard(page));
  await check("the timeline can be narrowed by kind and text", () => filters(page));
  for (const [name, viewport] of Object.entries({ wide: WIDE, phone: PHONE, narrow: NARROW })) {
    for (const colorScheme of ["light", "dark"]) {
      const other = await open(browser, pods[1], { viewport, colorScheme });
      await check(`${name}, ${colorScheme}: it fits, and axe-core finds nothing`, async () => {
        await fits(other.page);
        await accessible(other.page);
        await shot(other.page, `${name}-${colorScheme}`);
        assert.deepEqual(other.bad, []);
      });
      await other.close();
    }
  }
  await live(page, pods[0], pods.slice(1));
  await check("a replica that is not ready says so first, with its reason", () => trouble(browser, pods[2]));
  await check("no errors, nothing asked of anybody else, nothing but reading", () => assert.deepEqual(bad, []));
  await close();
} finally {
  await browser.close();
}
console.log(`page: ${passed} passed, 0 failed`);
