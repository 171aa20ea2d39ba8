import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../scripts/release-notes.mjs', import.meta.url));
const CHANGELOG =
  '# Changelog\n\n## Unreleased\n\n## 0.2.0 (2026-12-01)\n\n- New ([how](docs/a.md)).\n\n## 0.1.0\n\n- Old.\n';

/** Runs the script for a tag in a checkout of version 0.2.0 with this changelog; `inner` is the version of packages/logs. */
function notesOf(tag: string, changelog = CHANGELOG, inner = '0.2.0') {
  const root = mkdtempSync(path.join(tmpdir(), 'locmoe-release-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(path.join(root, 'packages/logs'), { recursive: true });
  cpSync(SCRIPT, path.join(root, 'scripts/release-notes.mjs'));
  writeFileSync(path.join(root, 'package.json'), '{ "version": "0.2.0" }');
  writeFileSync(path.join(root, 'packages/logs/package.json'), JSON.stringify({ version: inner }));
  writeFileSync(path.join(root, 'CHANGELOG.md'), changelog);
  const env = { ...process.env, GITHUB_SERVER_URL: 'https://host', GITHUB_REPOSITORY: 'a/b' };
  const options = { encoding: 'utf8', env, timeout: 30_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/release-notes.mjs', tag], {
    ...options,
    cwd: root,
  });
  return [status, status === 0 ? stdout : stderr];
}

it("a release's notes are its section of the changelog, with links that lead to its files", () => {
  expect(notesOf('v0.2.0')).toEqual([0, '- New ([how](https://host/a/b/blob/v0.2.0/docs/a.md)).\n']);
});

it.each([
  ['another tag', ['v0.3.0'], 'the tag is v0.3.0, and package.json says 0.2.0'],
  [
    'a package of another version',
    ['v0.2.0', CHANGELOG, '0.1.0'],
    'the tag is v0.2.0, and packages/logs/package.json says 0.1.0',
  ],
  [
    'no notes',
    ['v0.2.0', CHANGELOG.replace('0.2.0', '0.2.01')],
    'CHANGELOG.md: nothing stands under "0.2.0"',
  ],
  [
    'notes that were not moved',
    ['v0.2.0', CHANGELOG.replace('Unreleased\n', 'Unreleased\n\n- Newer.\n')],
    'CHANGELOG.md: what stands under "Unreleased" is in v0.2.0; it belongs under "0.2.0"',
  ],
] as const)('refuses %s', (_, [tag, changelog, inner], line) => {
  expect(notesOf(tag, changelog, inner)).toEqual([2, `release: ${line}\n`]);
});
