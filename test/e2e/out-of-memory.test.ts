import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Locmoe, temporaryFolder, trainArguments } from './support.js';

const LIMIT_BYTES = 700 << 20;

/** Makes every worker take memory until there is none. */
const TAKE_MEMORY = `
  if (process.argv[1]?.endsWith('worker/main.js')) {
    const taken = [];
    setInterval(() => taken.push(Buffer.alloc(16 << 20, 1)), 50);
  }
`;

/** Makes a memory cgroup (version 1 or 2) with a limit, removed after the test; null if that is impossible. */
function memoryCgroup(): string | null {
  const own = readFileSync('/proc/self/cgroup', 'utf8');
  const v1 = /^\d+:memory:(.*)$/m.exec(own)?.[1];
  const parent =
    v1 === undefined ? `/sys/fs/cgroup${/^0::(.*)$/m.exec(own)?.[1]}` : `/sys/fs/cgroup/memory${v1}`;
  const folder = `${parent}/locmoe-test-${process.pid}`;
  try {
    mkdirSync(folder);
  } catch {
    return null;
  }
  onTestFinished(() => rmdirSync(folder));
  try {
    writeFileSync(
      `${folder}/${v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'}`,
      String(LIMIT_BYTES),
    );
    return folder;
  } catch {
    return null;
  }
}

describe('a worker that the kernel kills for lack of memory', () => {
  it('is said to be out of memory, with what it held and the limit', async ({ skip }) => {
    const cgroup = memoryCgroup();
    if (cgroup === null) return skip('no memory cgroup can be made here');
    const folder = temporaryFolder();
    const file = `${folder}/take-memory.mjs`;
    writeFileSync(file, TAKE_MEMORY);
    const sets = ['train.steps=100000'];
    const run = new Locmoe(trainArguments({ folder, nodes: 1, workersPerNode: 1, sets }), {
      NODE_OPTIONS: `--import=${file}`,
    });
    writeFileSync(`${cgroup}/cgroup.procs`, String(run.child.pid));
    const { code, stderr } = await run.finished;
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /run failed: rank 0, .*worker \(pid \d+\) was killed by SIGKILL, probably out of memory: it held \d{2,} MiB when last looked at( \(\d+ MiB \d+ s before.*\))?, and the processes of this node may hold 700 MiB together/,
    );
    await run.expectNothingLeft();
  });
});
