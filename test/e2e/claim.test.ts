import { cpSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { lossCurve, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const DONE = 2;
const STEPS = 4;

it('of several that resume a run at once one goes on, and the others name it', async () => {
  const origin = temporaryFolder();
  const layout = { nodes: 1, workersPerNode: 1 };
  const finished = await trainToTheEnd({ ...layout, folder: origin, sets: [`train.steps=${DONE}`] });

  for (const numStarters of NIGHTLY ? [2, 3] : [2]) {
    const folder = temporaryFolder();
    const resume = path.join(folder, 'runs', path.basename(finished));
    cpSync(finished, resume, { recursive: true });
    const starters = Array.from({ length: numStarters }, () =>
      startTraining({
        ...layout,
        folder,
        resume,
        sets: [`train.steps=${STEPS}`],
        // The data are not prepared yet, which leaves time for the starts to collide before training.
        dataDir: path.join(folder, 'data'),
      }),
    );
    const ends = await Promise.all(starters.map(({ finished }) => finished));
    const output = ends.map(({ stdout, stderr }) => stdout + stderr).join('\n---\n');
    expect(ends.map(({ code }) => code).sort(), output).toEqual([0, ...Array(numStarters - 1).fill(2)]);
    const winner = starters[ends.findIndex(({ code }) => code === 0)].child.pid;
    for (const { stderr } of ends.filter(({ code }) => code === 2))
      expect(stderr).toMatch(
        new RegExp(`^locmoe: run \\S+ is held by process ${winner} on ${hostname()} since .*\\n$`),
      );
    expect([...lossCurve(resume).keys()]).toEqual([1, 2, 3, 4]);
    const lines = readFileSync(path.join(resume, 'metrics.ndjson'), 'utf8').split('\n');
    expect(lines.filter((line) => line.includes('"type":"step"'))).toHaveLength(STEPS);
    for (const starter of starters) await starter.expectNothingLeft();
  }
});
