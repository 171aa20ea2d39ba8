import { readFileSync } from 'node:fs';
import { FaultProxy, freePort } from '@locmoe/test-kit';
import { expect, it, onTestFinished } from 'vitest';
import { node, serve, withToken } from './nodes.js';
import { temporaryFolder } from './support.js';

/** 1 Mbit/s. */
const BYTES_PER_S = 125_000;
const DELAY_MS = 100;
/** What a process may grow by while bytes wait for the link. */
const GROWTH_BYTES = 64 << 20;

const residentBytes = (pid: number) =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

it('a link of 1 Mbit/s with 100 ms of delay slows a run down, and neither fails it nor fills memory', async () => {
  const port = await freePort();
  const folder = temporaryFolder();
  const token = withToken(folder);
  const run = serve(folder, port, ['train.steps=100000', 'cluster.collectiveTimeoutS=2'], ...token);
  const listenAt = [await freePort(), await freePort()];
  const proxies = await Promise.all([...listenAt, port].map((each) => FaultProxy.to(each)));
  onTestFinished(() => Promise.all(proxies.map((proxy) => proxy.close())).then(() => undefined));
  const nodes = listenAt.map((each, i) =>
    node(
      proxies[2].port,
      ...[...token, '--listen', `127.0.0.1:${each}`, '--advertise', `127.0.0.1:${proxies[i].port}`],
    ),
  );
  const [, step] = await run.until(/step +(\d+)\/100000/);
  const agents = nodes.map(({ child }) => child.pid!);
  const before = agents.map(residentBytes);
  for (const proxy of proxies) {
    proxy.throttle(BYTES_PER_S);
    proxy.delay(DELAY_MS);
  }
  // A step takes longer than the deadline of a collective by then.
  const later = Number(/step +(\d+)\/100000.*\s*$/.exec(run.output)?.[1] ?? step) + 3;
  await run.until(new RegExp(`step +${later}/100000`));
  const grownBy = agents.map((pid, i) => residentBytes(pid) - before[i]);
  expect(Math.max(...grownBy)).toBeLessThan(GROWTH_BYTES);
  for (const proxy of proxies) proxy.heal();
  run.interrupt();
  const { code, stderr } = await run.finished;
  expect(code, stderr).toBe(130);
  for (const each of [run, ...nodes]) await each.expectNothingLeft();
});
