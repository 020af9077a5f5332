/** The web page in a real browser: create by form and as JSON, see tasks, scale, restart, destroy, and meet a refusal. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { Cluster, guideApps } from "./cluster.ts";

let cluster: Cluster;
let browser: Browser;
let page: Page;
const problems: string[] = [];

/** Without these, Chromium looks for its maker's hosts at every start. */
const quiet = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-page" });
  await cluster.createNetwork("my-calico-net");
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", ...quiet],
  });
  page = await browser.newPage({ viewport: { width: 1200, height: 700 }, colorScheme: "light" });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.setDefaultTimeout(30_000);
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const row = '[data-app="/my-docker-task"]';

test("an empty cluster invites to create an application", async () => {
  await page.goto(`${cluster.apiUrl}/`);
  await page.getByText("No application yet.").waitFor();
});

test("the form refuses at the field, and creates when it is right", async () => {
  await page.getByRole("banner").getByRole("button", { name: "Create Application" }).click();
  await page.fill("[name=id]", "my-docker-task");
  await page.fill("[name=image]", "nginx");
  await page.fill("[name=networkName]", "my-calico-net");
  await page.selectOption("[name=checkProtocol]", "HTTP");
  await page.fill("[name=mem]", "-5");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Create Application" }).click();
  await dialog.locator(".field.refused:has([name=mem]) [role=alert]").waitFor();
  await page.fill("[name=mem]", "64");
  await dialog.getByRole("button", { name: "Create Application" }).click();
  await page.locator("[data-task] .dot.healthy").waitFor();
  expect(await page.locator("[data-task]").textContent()).toMatch(/host\d.*192\.168\./s);
}, 60_000);

test("scaling asks how many, and the instances appear with host, address and health", async () => {
  await page.getByRole("button", { name: "Scale" }).click();
  await page.fill("dialog input", "2");
  await page.locator("dialog button[type=submit]").click();
  await page.locator("[data-task] .dot.healthy").nth(1).waitFor();
  expect((await cluster.healthy("my-docker-task", 2)).length).toBe(2);
}, 60_000);

test("restart replaces the instances after a confirmation", async () => {
  const before = (await cluster.tasks("my-docker-task")).map(({ id }) => id);
  await page.getByRole("button", { name: "Restart" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Restart" }).click();
  await page.waitForFunction((old) => {
    const now = [...document.querySelectorAll("[data-task]")].map((each) => each.getAttribute("data-task") ?? "");
    return now.length === 2 && now.every((id) => !old.includes(id));
  }, before);
}, 90_000);

test("the list shows state, instances and health", async () => {
  await cluster.healthy("my-docker-task", 2);
  await page.getByRole("link", { name: "Applications" }).first().click();
  await page.locator(`${row}:has-text("2 of 2"):has-text("Running"):has-text("2 healthy")`).waitFor();
});

test("destroy asks, can be cancelled, and removes", async () => {
  await page.locator(`${row} a`).click();
  await page.getByRole("button", { name: "Destroy" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  expect((await cluster.api("GET", "/v2/apps/my-docker-task")).status).toBe(200);
  await page.getByRole("button", { name: "Destroy" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Destroy" }).click();
  await page.getByText("No application yet.").waitFor();
}, 60_000);

test("JSON mode shows where text does not parse, and creates what does", async () => {
  await page.getByRole("banner").getByRole("button", { name: "Create Application" }).click();
  await page.getByLabel("JSON Mode").check();
  const type = async (text: string) => {
    await page.locator(".cm-content").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(text);
    await page.getByRole("dialog").getByRole("button", { name: "Create Application" }).click();
  };
  await type('{"id": ');
  await page.getByRole("dialog").getByText("does not parse").waitFor();
  await type(JSON.stringify({ ...guideApps["network USER"], id: "from-json" }));
  await page.locator("[data-task] .dot.healthy").waitFor();
  await cluster.destroy("from-json");
}, 60_000);

test("nothing went wrong in the page", () => expect(problems).toEqual([]));
