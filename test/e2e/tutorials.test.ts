import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { commandsOf, pathWithCommands } from './documented-commands.js';
import { DATA_DIR, Locmoe, newestRun, ROOT, temporaryFolder } from './support.js';

/** A reader's folder, in which the commands of a page are typed one after the other. */
class Reader {
  readonly folder = temporaryFolder();
  readonly #PATH = pathWithCommands(this.folder);

  start(command: string): Locmoe {
    const line = command.replaceAll(/\bRUN\b/g, () => path.basename(newestRun(this.folder)));
    // Like an interactive shell, it outlives Ctrl-C and tells how the command ended.
    return new Locmoe([`trap : INT; ${line}`], { PATH: this.#PATH }, ['sh', '-c'], this.folder);
  }

  /** Types a command and expects it to succeed; returns its output. */
  async type(command: string): Promise<string> {
    const run = this.start(command);
    const { code, stdout, stderr } = await run.finished;
    expect(code, `${command}\n${stdout}${stderr}`).toBe(0);
    await run.expectNothingLeft();
    return stdout;
  }
}

it('docs/tutorials/browser.md brings a text into a browser', async () => {
  const [pack, install, ...typed] = commandsOf('docs/tutorials/browser.md');
  // package.test.ts packs and installs.
  expect([pack, install]).toEqual(['npm run package', 'npm install locmoe-0.2.0.tgz']);
  const [doctor, inspect, train, generate, toWeb, serve, toOnnx, ...others] = typed;
  expect(others).toEqual([]);
  const reader = new Reader();
  const text = path.join(reader.folder, 'notes/2026/architecture.txt');
  cpSync(path.join(ROOT, 'docs/architecture.md'), text);

  expect(await reader.type(doctor!)).toMatch(/^ok {4}tensorflow /m);
  expect(await reader.type(inspect!)).toMatch(/^ +notes +1 +\d+ /m);
  expect(await reader.type(train!)).toMatch(/^done in .*$/m);
  expect(await reader.type(generate!)).toMatch(/^Once/);
  expect(await reader.type(toWeb!)).toMatch(/^ +index\.html +/m);
  expect(await reader.type(toOnnx!)).toMatch(/^ +onnx\/model\.onnx +/m);
  if (whyNoBrowser() !== null) return console.warn(`SKIPPED in part: ${whyNoBrowser()}`);

  const port = String(await freePort());
  const server = reader.start(serve!.replace('8000', `${port} --bind 127.0.0.1`));
  const browser = await TestBrowser.open();
  try {
    await expect
      .poll(() =>
        fetch(`http://127.0.0.1:${port}/`).then(
          ({ ok }) => ok,
          () => false,
        ),
      )
      .toBe(true);
    const page = await browser.page(`http://127.0.0.1:${port}/`);
    await page.getByRole('button', { name: 'Write', exact: true }).click();
    await page
      .locator('article')
      .getByText(/tokens\/s/)
      .waitFor();
    expect(await page.locator('.takers [data-expert]').count()).toBeGreaterThan(10);
    expect(browser.problems).toEqual([]);
  } finally {
    await browser.close();
    server.interrupt();
    await server.finished;
  }
});

it('docs/tutorials/router.md compares a router of one’s own with others', async () => {
  const [copy, plan, doctor, bench, gate, train, report, inspect, ...others] =
    commandsOf('docs/tutorials/router.md');
  expect(others).toEqual([]);
  const reader = new Reader();
  // A checkout that is set up resolves the package's own name.
  mkdirSync(path.join(reader.folder, 'node_modules'));
  symlinkSync(ROOT, path.join(reader.folder, 'node_modules/locmoe'));
  symlinkSync(path.join(ROOT, 'examples'), path.join(reader.folder, 'examples'));
  mkdirSync(DATA_DIR, { recursive: true });
  symlinkSync(DATA_DIR, path.join(reader.folder, 'data'));

  await reader.type(copy!);
  expect(await reader.type(plan!)).toMatch(/router \S+my-router\.mjs#sha256=/);
  expect(await reader.type(doctor!)).toMatch(/^ok {4}/m);
  const compared = await reader.type(`${bench} --steps 4 --seeds 1`);
  for (const router of ['hash', 'switch', String.raw`\./my-router\.mjs`])
    expect(compared).toMatch(new RegExp(String.raw`^ {2}${router} +\d\.\d{3} +[\d.]+ `, 'm'));
  expect(await reader.type(`${gate} --quick`)).toMatch(
    /^20 steps of one seed, which say nothing: my-router\.mjs: /m,
  );
  await reader.type(`${train} --set train.recordRoutes.every=4 --set train.steps=8`);
  expect(await reader.type(report!)).toMatch(/position/);
  const page = reader.start(inspect!);
  await page.until(/http:\/\/127\.0\.0\.1:\d+/);
  page.interrupt();
  expect((await page.finished).code).toBe(0);
});
