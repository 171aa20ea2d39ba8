import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { callStudy, temporaryFolder } from './support.js';

const SCRIPT = `
load
  {job="train"} "step" @ 10s
eval instant at 30s count_over_time({job="train"} [1m])
  {job="train"} 1
`;

it("runs Loki's scripts where they are given, adds the counts to the figures, and keeps the others", async () => {
  const folder = temporaryFolder();
  const scripts = path.join(folder, 'scripts');
  mkdirSync(scripts);
  writeFileSync(path.join(scripts, 'own.logqltest'), SCRIPT);
  const errors = vi.spyOn(console, 'error').mockReturnValue();
  const call = (...args: readonly string[]) =>
    callStudy('observability', '--only', 'loki', '--work-dir', folder, ...args);
  await call();
  expect(errors.mock.calls).toEqual([[expect.stringContaining('--loki-scripts DIR')]]);
  errors.mockRestore();

  const file = path.join(folder, 'observability.json');
  const { machine } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ pageFps: 48.3, machine, command: 'a command' }));
  await call('--loki-scripts', scripts);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    pageFps: 48.3,
    lokiEvaluations: { right: 1, refusedByName: 0, wrong: 0 },
    machine,
    command: expect.any(String),
  });
});
