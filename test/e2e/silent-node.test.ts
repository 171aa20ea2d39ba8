import { readFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '@locmoe/test-kit';
import { expect, it, onTestFinished } from 'vitest';
import { FaultProxy } from '../fault-proxy.js';
import { NIGHTLY } from '../nightly.js';
import { node, serve, withToken } from './nodes.js';
import { type Locmoe, newestRun, temporaryFolder } from './support.js';

const SETS = ['train.steps=100000', 'cluster.collectiveTimeoutS=2'];
/** 1 Mbit/s. */
const BYTES_PER_S = 125_000;
const DELAY_MS = 100;
/** Allowed growth of a process while bytes wait for the link. */
const GROWTH_BYTES = 64 << 20;

async function proxyTo(port: number): Promise<FaultProxy> {
  const proxy = await FaultProxy.to(port);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** Waits for the ends of all, by themselves; returns why the run failed. */
async function expectToFail(folder: string, ...all: readonly Locmoe[]): Promise<string> {
  for (const each of all) expect((await each.finished).code, each.output).toBe(3);
  return JSON.parse(readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8')).message;
}

const residentBytes = (pid: number) =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

/**
 * Starts a run of two nodes that reach each other through proxies; the second one reaches the coordinator through one
 * too.
 */
async function startBehindProxies(folder: string) {
  const port = await freePort();
  const token = withToken(folder);
  const run = serve(folder, port, SETS, ...token);
  const listenAt = [await freePort(), await freePort()];
  const between = await Promise.all(listenAt.map(proxyTo));
  const toCoordinator = await proxyTo(port);
  const nodes = [port, toCoordinator.port].map((coordinator, i) =>
    node(
      coordinator,
      ...token,
      '--listen',
      `127.0.0.1:${listenAt[i]}`,
      '--advertise',
      `127.0.0.1:${between[i].port}`,
    ),
  );
  const [, step] = await run.until(/step +(\d+)\/100000/);
  return { run, nodes, between, toCoordinator, step: Number(step) };
}

it.runIf(NIGHTLY)(
  'a link of 1 Mbit/s with 100 ms of delay only slows a run down; once a node is cut off from all, the others end',
  async () => {
    const folder = temporaryFolder();
    const { run, nodes, between, toCoordinator, step } = await startBehindProxies(folder);
    const all = [...between, toCoordinator];
    const agents = nodes.map(({ child }) => child.pid!);
    const before = agents.map(residentBytes);
    for (const proxy of all) {
      proxy.throttle(BYTES_PER_S);
      proxy.delay(DELAY_MS);
    }
    // By now a step takes longer than the deadline of a collective.
    const later = Number(/step +(\d+)\/100000.*\s*$/.exec(run.output)?.[1] ?? step) + 3;
    await run.until(new RegExp(`step +${later}/100000`));
    const grownBy = agents.map((pid, i) => residentBytes(pid) - before[i]);
    expect(Math.max(...grownBy)).toBeLessThan(GROWTH_BYTES);
    for (const proxy of all) proxy.heal();

    for (const proxy of all) proxy.drop();
    const verdict = await expectToFail(folder, run, nodes[0]);
    expect(verdict).toMatch(new RegExp(`\\(pid ${nodes[1].child.pid}\\) was lost: it does not answer`));
    // The cut-off node would notice by itself, after its keepalive of 20 s.
    nodes[1].child.kill('SIGKILL');
    for (const each of [run, ...nodes]) await each.expectNothingLeft();
  },
);

it('a run whose nodes are cut off from each other ends with all its processes', async () => {
  const folder = temporaryFolder();
  const { run, nodes, between } = await startBehindProxies(folder);
  for (const proxy of between) proxy.drop();
  await expectToFail(folder, run, ...nodes);
  for (const each of [run, ...nodes]) await each.expectNothingLeft();
});
