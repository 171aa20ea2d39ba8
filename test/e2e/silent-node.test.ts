import { readFileSync } from 'node:fs';
import path from 'node:path';
import { FaultProxy, freePort } from '@locmoe/test-kit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { node, serve, withToken } from './nodes.js';
import { type Locmoe, newestRun, temporaryFolder } from './support.js';

const SETS = ['train.steps=100000', 'cluster.collectiveTimeoutS=2'];
/** From the verdict to the end of a process. */
const END_S = 5;

async function proxyTo(port: number): Promise<FaultProxy> {
  const proxy = await FaultProxy.to(port);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** Waits for the ends of all, by themselves and soon after the verdict, which is older than what is said of it. */
async function expectToEndWith(run: Locmoe, folder: string, others: readonly Locmoe[]): Promise<string> {
  const ends = [run, ...others].map(async (each) => {
    const { code } = await each.finished;
    return { each, code, timeMs: Date.now() };
  });
  const finished = await Promise.all(ends);
  const { time, message } = JSON.parse(readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8'));
  for (const { each, code, timeMs } of finished) {
    expect(code, each.output).toBe(3);
    expect(timeMs - time, each.output).toBeLessThan(END_S * 1000);
  }
  return message;
}

describe('the coordinator and the other nodes end with the run', () => {
  it('when an agent is frozen; one that serves run after run looks for the next', async () => {
    const port = await freePort();
    const sets = [...SETS, 'moe.numExperts=6', 'train.globalBatch=6'];
    const folder = temporaryFolder();
    const run = serve(folder, port, sets, '--nodes', '3');
    const [frozen, once, forever] = [node(port), node(port), node(port, '--forever')];
    await run.until(/step +\d+\/100000/);
    frozen.child.kill('SIGSTOP');
    const verdict = await expectToEndWith(run, folder, [once]);
    expect(verdict).toMatch(
      new RegExp(`\\(pid ${frozen.child.pid}\\) was lost: it is stopped \\(SIGSTOP\\)`),
    );
    await forever.until(/node leaves[\s\S]*waiting: /, END_S * 1000);
    frozen.child.kill('SIGCONT');
    forever.child.kill('SIGTERM');
    expect((await frozen.finished).code).toBe(3);
    expect((await forever.finished).code).toBe(0);
    for (const each of [run, once, frozen, forever]) await each.expectNothingLeft();
  });

  it('when the nodes are cut off from each other', async () => {
    const port = await freePort();
    const folder = temporaryFolder();
    const run = serve(folder, port, SETS);
    const listenAt = [await freePort(), await freePort()];
    const proxies = await Promise.all(listenAt.map((each) => proxyTo(each)));
    const nodes = listenAt.map((each, i) =>
      node(port, '--listen', `127.0.0.1:${each}`, '--advertise', `127.0.0.1:${proxies[i].port}`),
    );
    await run.until(/step +\d+\/100000/);
    for (const proxy of proxies) proxy.drop();
    await expectToEndWith(run, folder, nodes);
    for (const each of [run, ...nodes]) await each.expectNothingLeft();
  });

  it('when a node is cut off from all', async () => {
    const port = await freePort();
    const folder = temporaryFolder();
    const token = withToken(folder);
    const run = serve(folder, port, SETS, ...token);
    const listenAt = [await freePort(), await freePort()];
    const proxies = await Promise.all([...listenAt, port].map((each) => proxyTo(each)));
    const nodes = listenAt.map((each, i) =>
      node(
        i === 0 ? port : proxies[2].port,
        ...[...token, '--listen', `127.0.0.1:${each}`, '--advertise', `127.0.0.1:${proxies[i].port}`],
      ),
    );
    await run.until(/step +\d+\/100000/);
    for (const proxy of proxies) proxy.drop();
    const verdict = await expectToEndWith(run, folder, [nodes[0]]);
    expect(verdict).toMatch(new RegExp(`\\(pid ${nodes[1].child.pid}\\) was lost: it does not answer`));
    // It notices by itself too, after the 20 s of its keepalive.
    nodes[1].child.kill('SIGKILL');
    for (const each of [run, ...nodes]) await each.expectNothingLeft();
  });
});
