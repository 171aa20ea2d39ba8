import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { removeUnread } from '../scripts/install-locked.mjs';

it('what nothing reads is removed from node_modules, and nothing where a link leads', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-install-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [modules, workspace] = ['node_modules', 'workspace'].map((name) => path.join(folder, name));
  for (const place of [`${modules}/some/dist`, `${workspace}/dist`]) {
    mkdirSync(place, { recursive: true });
    for (const name of ['index.js', 'index.js.map']) writeFileSync(path.join(place, name), '');
  }
  symlinkSync(workspace!, path.join(modules!, 'linked'));

  removeUnread(modules!);
  const left = (place: string) =>
    ['index.js', 'index.js.map'].map((name) => existsSync(path.join(place, name)));
  expect(left(`${modules}/some/dist`)).toEqual([true, false]);
  expect(left(`${workspace}/dist`)).toEqual([true, true]);
});
