import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseScript } from './logql-script.js';
import { runScripts } from './run-scripts.js';

const SCRIPT = `
# Lines that begin with a comment belong to no command.
clear
load
  {job="train", empty=""} "rank={{.i}}" @ 10s [repeat every 10s for 3]   # three lines
  {job="eval"} \`a # in a line is "no comment"\` @ 10s
eval instant at 30s sum_over_time({job="train"} | logfmt | drop __error__ | unwrap rank [1m])
  {job="train"} 3
eval range from 10s to 40s step 30s count_over_time({job="eval"} |= "# in" [20s])
  {job="eval"} 1 _
eval instant at 30s sort_desc(count_over_time({job=~".+"} [1m]))
  expect ordered
  {job="train"} 3
  {job="eval"} 1
eval instant at 30s count_over_time({job="other"} [1m])
  expect empty
eval instant at 30s 1 / 0
  NaN
eval instant at 30s count_over_time({job="train"} [1m]
  expect fail msg: parse error
eval instant at 30s approx_topk(1, count_over_time({job="train"} [1m]))
  {job="train"} 3
eval instant at 30s sort(count_over_time({job=~".+"} [1m]))
  expect ordered
  {job="train"} 3
  {job="eval"} 1
eval instant at 30s count_over_time({job="train"} [1m])
  {job="train"} +Inf
eval instant at 30s count_over_time({job="train"} [1m])
  expect fail

clear
load
  {job="train"} "step" @ 10s [metadata host="a"]
eval instant at 30s count_over_time({job="train"} [1m])
  {job="train", host="a"} 1
`;

let folder: string;
const said = vi.spyOn(console, 'error').mockImplementation(() => undefined);

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-'));
  said.mockClear();
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('evaluations of scripts', () => {
  it('are right, refused by name, or wrong and told', async () => {
    writeFileSync(path.join(folder, 'own.logqltest'), SCRIPT);
    expect(await runScripts(folder, path.join(folder, 'logs'))).toEqual({
      right: 6,
      refusedByName: 1,
      wrong: 3,
      // This one is right, since it must fail.
      failed: 1,
      withMetadata: 1,
      numScripts: 1,
    });
    expect(said.mock.calls.map(([line]) => line)).toEqual([
      'own.logqltest:23: sort(count_over_time({job=~".+"} [1m])): got {job="eval"} 1; {job="train"} 3',
      'own.logqltest:27: count_over_time({job="train"} [1m]): got {job="train"} 3',
      'own.logqltest:29: count_over_time({job="train"} [1m]): got {job="train"} 3',
    ]);
  });

  it('are missed in a folder without scripts', async () => {
    await expect(runScripts(folder, folder)).rejects.toThrow(/no \*\.logqltest there/);
  });
});

describe('a script', () => {
  it.each([
    ['clear\nevaluate it', 'own:2: evaluate it: expected clear, load or eval'],
    ['load\n  {a="b"} no quotes @ 1s', 'own:1: {a="b"} no quotes @ 1s: expected a line to load'],
    ['eval instant at noon vector(1)\n  {} 1', 'own:1: noon: expected a duration'],
    ['eval instant at 1s vector(1)\n  {} one', 'own:1: one: expected a number'],
    ['eval instant at 1s vector(1)', 'own:1: nothing is expected'],
  ])('%j is refused with its place', (text, message) => {
    expect(() => parseScript('own', text)).toThrow(message);
  });
});
