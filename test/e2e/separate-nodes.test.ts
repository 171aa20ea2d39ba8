import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { describe, expect, it } from 'vitest';
import { readManifest } from '../../src/checkpoint/manifest.js';
import { makeCertificates } from '../../src/rpc/certificates.js';
import { node, serve } from './nodes.js';
import { locmoe, lossCurve, newestRun, temporaryFolder, trainToTheEnd } from './support.js';

const STEPS = 'train.steps=50';

let curve: Promise<Map<number, number>> | undefined;
/** The losses of two nodes that one command starts. */
function curveOfOneCommand(): Promise<Map<number, number>> {
  const layout = { folder: temporaryFolder(), nodes: 2, workersPerNode: 1 };
  curve ??= trainToTheEnd({ ...layout, sets: [STEPS] }).then(lossCurve);
  return curve;
}

describe('nodes that are started by hand', () => {
  it('find their coordinator, replace each other, and train what one command trains', async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    const dir = path.join(folder, 'ours');
    expect((await locmoe('certs', '--out', dir)).code).toBe(0);
    const ours = ['--tls', dir, '--token-file', path.join(dir, 'token')];
    const token = path.join(folder, 'token');
    writeFileSync(token, 'not-the-token-of-this-cluster');

    const doomed = node(port, ...ours);
    await doomed.until(/waiting: no.* answers at localhost:\d+ .*nothing listens on that port/);
    const run = serve(folder, port, [STEPS], ...ours);
    await run.until(/listening at 127\.0\.0\.1:\d+ \(TLS\)/);
    await run.until(/^node 0 joined from \S+ \(1 of 2\)$/m);
    doomed.child.kill('SIGKILL');
    await run.until(/^node 0 on .* left before the start: .* its place is free again$/m);

    const theirs = path.join(folder, 'theirs');
    await makeCertificates(theirs, 1);
    const at = ['--coordinator', `127.0.0.1:${port}`];
    const refusals: [string[], RegExp][] = [
      [['node', ...at, '--tls', dir], /refused the join token: none was given/],
      [['node', ...at, '--tls', dir, '--token-file', token], /refused the join token: it is not the token/],
      [['node', ...at, '--tls', theirs], /certificate was not signed by .*theirs\/ca\.pem/],
      [['node', ...at], /no secure connection to the coordinator at \S+: it asks for TLS: give --tls/],
      [['stop', ...at, '--tls', dir], /refused the join token/],
      [['logs', ...at], /it asks for TLS/],
    ];
    const ends = await Promise.all(refusals.map(([args]) => locmoe(...args)));
    for (const [i, { code, stderr }] of ends.entries()) {
      const [, line] = refusals[i];
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(new RegExp(`^locmoe: .*${line.source}`));
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }

    const first = node(port, '--listen', '127.0.0.2:0', ...ours);
    await run.until(/^node 0 joined from \S+ \(1 of 2\)$/m);
    const second = node(port, '--listen', '0.0.0.0:0', ...ours);
    for (const each of [run, first, second]) {
      const { code, stdout, stderr } = await each.finished;
      expect(code, stdout + stderr).toBe(0);
      await each.expectNothingLeft();
    }
    const expected = await curveOfOneCommand();
    expect(expected.size).toBe(50);
    expect(lossCurve(newestRun(folder))).toEqual(expected);
  });

  it('outlive a run if told so, and train on in its next generation', async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    const sets = ['train.steps=100000', 'train.checkpointEvery=5'];
    const flags = ['--resume-or-start', '--json-logs'];
    const run = serve(folder, port, sets, ...flags);
    const survivor = node(port, '--forever');
    await run.until(/node 0 joined/);
    const victim = node(port, '--listen', '127.0.0.3:0');
    await run.until(/checkpoint at step/);
    const late = await locmoe('node', '--coordinator', `127.0.0.1:${port}`);
    expect([late.code, late.stderr]).toEqual([
      2,
      expect.stringMatching(/^locmoe: .*refused Join: run micro-\S+ is running with its 2 nodes/),
    ]);
    victim.child.kill('SIGKILL');
    const { code, stdout } = await run.finished;
    expect(code, stdout).toBe(3);
    const records = jsonLines(stdout);
    const { msg, checkpoint } = records.at(-1)!;
    expect(msg).toMatch(
      new RegExp(
        `^run failed: node \\d, step \\d+: node agent on \\S+ \\(pid ${victim.child.pid}\\) was lost`,
      ),
    );
    expect(checkpoint).toMatch(/step-0+\d+$/);
    // Otherwise a slow node finds the next coordinator at its first look, and never says that it waits.
    await survivor.until(/node leaves[\s\S]*waiting: /);

    const next = serve(folder, port, sets, ...flags);
    const replacement = node(port);
    await next.until(/"generation":2.*"msg":"step +\d+\/100000/);
    next.child.kill('SIGTERM');
    const end = await next.finished;
    expect(end.code, end.stdout).toBe(130);
    expect(jsonLines(end.stdout).at(-1)).toMatchObject({ exitCode: 130, generation: 2 });
    expect((await replacement.finished).code).toBe(0);
    const steps = [...lossCurve(newestRun(folder)).keys()];
    expect(steps).toEqual(steps.map((_, i) => i + 1));

    await survivor.until(/node leaves[\s\S]*waiting: [\s\S]*node leaves[\s\S]*waiting: /);
    survivor.child.kill('SIGTERM');
    expect((await survivor.finished).code).toBe(0);
    expect(jsonLines((await survivor.finished).stdout).length).toBeGreaterThan(2);

    // The unfinished run is of another recipe: this one starts its own.
    const other = serve(folder, port, [...sets, 'name=other'], ...flags);
    await other.until(/"run":"other-\d[^"]*","generation":1/);
    // Nothing is left to do, so that what supervises a coordinator does not start it again.
    const stop = await locmoe('stop', '--coordinator', `127.0.0.1:${port}`);
    expect(stop.code, stop.stderr).toBe(0);
    expect((await other.finished).code).toBe(0);
    for (const each of [run, next, survivor, replacement, other]) await each.expectNothingLeft();
  });
});

it('a run goes on with another node in the place of a lost one, or with fewer if none comes', async () => {
  const folder = temporaryFolder();
  const port = await freePort();
  const sets = ['maxRestarts=3', 'minNodes=1', 'rejoinTimeoutS=4'].map((set) => `cluster.${set}`);
  const run = serve(folder, port, [...sets, STEPS, 'train.checkpointEvery=10']);
  const survivor = node(port);
  const first = node(port);
  await run.until(/checkpoint at step 10:/);
  first.child.kill('SIGKILL');
  await run.until(/was lost.*; restarting \(2 restarts left\)/);
  const second = node(port);
  await run.until(/recovered: .*\n[\s\S]*checkpoint at step 20:/);
  second.child.kill('SIGKILL');
  await run.until(/after 4 s 1 of 2 nodes are here .*, 1 is missing; restarting \(1 restart left\)/);
  for (const each of [run, survivor]) {
    const { code, stdout, stderr } = await each.finished;
    expect(code, stdout + stderr).toBe(0);
    await each.expectNothingLeft();
  }
  const runFolder = newestRun(folder);
  const generations = readJournal(path.join(runFolder, 'journal.ndjson')).flatMap((entry) =>
    entry.type === 'generation' ? [entry.nodes] : [],
  );
  expect(generations).toEqual([2, 2, 2, 1]);
  const manifest = readManifest(path.join(runFolder, 'checkpoints', 'step-000050'));
  expect([manifest.config.cluster.nodes, manifest.world.nodes]).toEqual([2, 1]);

  const expected = await curveOfOneCommand();
  for (const [step, loss] of lossCurve(runFolder)) expect(loss).toBeCloseTo(expected.get(step)!, 4);
});

describe('a coordinator that waits', () => {
  it('says who is there when its time is over', async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    const early = node(port);
    const { code, stderr } = await serve(folder, port, [], '--join-timeout', '2').finished;
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /^locmoe: run failed: after 2 s 1 of 2 nodes are here \(node 0 from \S+\), 1 is missing$/m,
    );
    expect((await early.finished).code).toBe(3);
  });

  it('ends at once when asked, and its nodes go back to waiting', async () => {
    const port = await freePort();
    const patient = node(port, '--forever');
    const run = serve(temporaryFolder(), port, []);
    await run.until(/\(1 of 2\)/);
    run.child.kill('SIGTERM');
    expect((await run.finished).code).toBe(130);
    await patient.until(/node leaves[\s\S]*waiting: /);
    patient.child.kill('SIGTERM');
    expect((await patient.finished).code).toBe(0);
  });
});

describe('beyond loopback', () => {
  it.each([
    [
      'serve',
      ['--config', 'tiny'],
      /can be reached from other machines: give --tls DIR \(locmoe certs --out DIR/,
    ],
    ['node', ['--coordinator', '127.0.0.1:9', '--insecure'], /--insecure still asks for a join token/],
  ] as const)('%s asks for certificates', async (command, args, line) => {
    const { code, stderr } = await locmoe(command, ...args, '--listen', '0.0.0.0:0');
    expect([code, stderr]).toEqual([2, expect.stringMatching(line)]);
  });
});

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
