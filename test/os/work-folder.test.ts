import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { isAbandoned, removeAbandoned, workMark } from '../../src/os/work-folder.js';

/** More than a process id can be. */
const NO_PROCESS = 4_194_305;

const ours = workMark();
const dead = workMark().replace(`-${process.pid}-`, `-${NO_PROCESS}-`);
const elsewhere = dead.replace(/^[0-9a-f]+/, '0123456789abcdef');

it('takes a process for dead only where its id means something', () => {
  expect([ours, dead, elsewhere, '', `${NO_PROCESS}`].filter(isAbandoned)).toEqual([dead]);
});

it('removes what the dead have left under a prefix, and nothing else', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-work-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const names = [`a.${ours}`, `a.${dead}`, `a.${dead}.old`, `a.${elsewhere}`, `b.${dead}`, 'a.notes'];
  for (const name of names) mkdirSync(path.join(folder, name, 'in'), { recursive: true });
  removeAbandoned(folder, 'a.');
  expect(readdirSync(folder).sort()).toEqual([names[0], ...names.slice(3)].sort());
});
