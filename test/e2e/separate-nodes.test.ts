import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJournal, stepFolder } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { readManifest } from '../../src/checkpoint/manifest.js';
import { makeCertificates } from '../../src/rpc/certificates.js';
import { runCommand } from '../run-command.js';
import { expectGoodEnds, node, serve } from './nodes.js';
import { lossCurve, newestRun, temporaryFolder } from './support.js';

const LONG = ['train.steps=100000', 'train.checkpointEvery=5'];

it('nodes that are started by hand train on with another in the place of a lost one, or with fewer if none comes', async () => {
  const folder = temporaryFolder();
  const port = await freePort();
  const dir = path.join(folder, 'ours');
  await makeCertificates(dir, 1);
  const ours = ['--tls', dir, '--token-file', path.join(dir, 'token')];

  const doomed = node(port, ...ours);
  await doomed.until(/waiting: no.* answers at localhost:\d+ .*nothing listens on that port/);
  const cluster = ['maxRestarts=3', 'spares=0', 'minNodes=1', 'rejoinTimeoutS=4'].map(
    (set) => `cluster.${set}`,
  );
  const run = serve(folder, port, [...LONG, ...cluster], ...ours);
  await run.until(/listening at 127\.0\.0\.1:\d+ \(TLS\)/);
  await run.until(/^node 0 joined from \S+ \(1 of 2\)$/m);
  doomed.child.kill('SIGKILL');
  await run.until(/^node 0 on .* left before the start: .* its place is free again$/m);
  await expectRefusals(folder, dir, port);

  const survivor = node(port, '--listen', '127.0.0.2:0', ...ours);
  await run.until(/^node 0 joined from \S+ \(1 of 2\)$/m);
  const first = node(port, '--listen', '0.0.0.0:0', ...ours);
  await run.until(/checkpoint at step 5:/);
  const spare = node(port, '--forever', ...ours);
  await spare.until(/waiting: .*is running with its 2 nodes/);
  first.child.kill('SIGKILL');
  await run.until(/was lost.*; restarting \(2 restarts left\)/);
  await run.until(/recovered: .*\n[\s\S]*checkpoint at step/);
  spare.child.kill('SIGKILL');
  await run.until(/after 2 s 1 of 2 nodes are here .*, 1 is missing; restarting \(1 restart left\)/);
  await run.until(/(recovered: [\s\S]*){2}checkpoint at step/);
  run.child.kill('SIGTERM');
  expect((await run.finished).code, run.output).toBe(130);
  await expectGoodEnds(survivor);
  await run.expectNothingLeft();

  const runFolder = newestRun(folder);
  const generations = readJournal(path.join(runFolder, 'journal.ndjson')).flatMap((entry) =>
    entry.type === 'generation' ? [entry.nodes] : [],
  );
  expect(generations).toEqual([2, 2, 2, 1]);
  const steps = [...lossCurve(runFolder).keys()];
  expect(steps).toEqual(steps.map((_, i) => i + 1));
  const manifest = readManifest(stepFolder(path.join(runFolder, 'checkpoints'), steps.length));
  expect([manifest.config.cluster.nodes, manifest.world.nodes]).toEqual([2, 1]);
});

/** Expects members without the token or the certificates in `dir` to be told which is missing. */
async function expectRefusals(folder: string, dir: string, port: number): Promise<void> {
  const token = path.join(folder, 'token');
  writeFileSync(token, 'not-the-token-of-this-cluster');
  const theirs = path.join(folder, 'theirs');
  await makeCertificates(theirs, 1);
  for (const [command, options, line] of [
    ['node', ['--tls', dir], /refused the join token: none was given/],
    ['node', ['--tls', dir, '--token-file', token], /refused the join token: it is not the token/],
    ['node', ['--tls', theirs], /certificate was not signed by .*theirs\/ca\.pem/],
    ['node', [], /no secure connection to the coordinator at \S+: it asks for TLS: give --tls/],
    ['stop', ['--tls', dir], /refused the join token/],
    ['logs', [], /it asks for TLS/],
  ] as const) {
    const { code, stderr } = await runCommand(command, '--coordinator', `127.0.0.1:${port}`, ...options);
    expect([code, stderr]).toEqual([2, expect.stringMatching(new RegExp(`^locmoe: .*${line.source}.*\n$`))]);
  }
}

it('a node that is told so outlives its runs, one of them failed by a frozen node, and trains on in the next generation', async () => {
  const folder = temporaryFolder();
  const port = await freePort();
  const sets = [...LONG, 'cluster.collectiveTimeoutS=3'];
  const flags = ['--resume-or-start', '--json-logs'];
  const survivor = node(port, '--forever');
  const waitsAgain = (times: number) =>
    survivor.until(new RegExp(`waiting: (?:[\\s\\S]*node leaves[\\s\\S]*waiting: ){${times}}`));
  await waitsAgain(0);
  const { code: tooFew, stderr } = await serve(temporaryFolder(), port, [], '--join-timeout', '6').finished;
  expect(tooFew).toBe(3);
  expect(stderr).toMatch(
    /^locmoe: run failed: node 1: after 6 s 1 of 2 nodes are here \(node 0 from \S+\), 1 is missing$/m,
  );
  // Otherwise a slow node would find the next coordinator at its first attempt, and never log that it waits.
  await waitsAgain(1);

  const run = serve(folder, port, sets, ...flags);
  await run.until(/node 0 joined/);
  const frozen = node(port, '--listen', '127.0.0.3:0');
  await run.until(/checkpoint at step/);
  const late = await runCommand('node', '--coordinator', `127.0.0.1:${port}`);
  expect(late).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^locmoe: .*refused Join: run micro-\S+ is running with its 2 nodes/),
  });
  frozen.child.kill('SIGSTOP');
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(3);
  const { msg, checkpoint } = jsonLines(stdout).at(-1)!;
  const { pid } = frozen.child;
  expect(msg).toMatch(
    new RegExp(
      `^run failed: node \\d, step \\d+: node agent on \\S+ \\(pid ${pid}\\) was lost: it is stopped \\(SIGSTOP\\)`,
    ),
  );
  expect(checkpoint).toMatch(/step-0+\d+$/);
  const failure = JSON.parse(readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8'));
  expect(failure).toMatchObject({ code: 'NODE_LOST', rank: null, pid, checkpoint });
  await waitsAgain(2);
  frozen.child.kill('SIGCONT');
  expect((await frozen.finished).code).toBe(3);

  const next = serve(folder, port, sets, ...flags);
  const replacement = node(port);
  await next.until(/"generation":2.*"msg":"step +\d+\/100000/);
  next.child.kill('SIGTERM');
  const end = await next.finished;
  expect(end.code, end.stdout).toBe(130);
  expect(jsonLines(end.stdout).at(-1)).toMatchObject({ exitCode: 130, generation: 2 });
  const steps = [...lossCurve(newestRun(folder)).keys()];
  expect(steps).toEqual(steps.map((_, i) => i + 1));
  await waitsAgain(3);
  survivor.child.kill('SIGTERM');

  // The unfinished run has another recipe, so this coordinator starts its own.
  const other = serve(folder, port, [...sets, 'name=other'], ...flags);
  await other.until(/"run":"other-\d[^"]*","generation":1/);
  // It succeeds, so that a supervisor does not start the coordinator again.
  expect(await runCommand('stop', '--coordinator', `127.0.0.1:${port}`)).toMatchObject({ code: 0 });
  await expectGoodEnds(survivor, replacement, other);
  expect(jsonLines((await survivor.finished).stdout).length).toBeGreaterThan(2);
  for (const each of [run, frozen, next]) await each.expectNothingLeft();
});

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
