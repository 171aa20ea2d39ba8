import { freePort } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { Locmoe, startTraining, temporaryFolder, UNHURRIED } from './support.js';

async function metricsOf(run: Locmoe): Promise<string> {
  const { address, headers } = await run.http();
  return (await fetch(`http://${address}/metrics`, { headers })).text();
}

it('a failed run is served on, and gives way to the command that resumes it', async () => {
  const folder = temporaryFolder();
  const address = `127.0.0.1:${await freePort()}`;
  const sets = ['train.steps=100000', 'train.checkpointEvery=3'];
  const layout = { nodes: 1, workersPerNode: 1 };
  const run = startTraining({ folder, ...layout, sets, more: ['--http', address], env: UNHURRIED });
  await run.until(/checkpoint at step/);
  process.kill(run.pidsOf('worker')[0], 'SIGKILL');
  await run.until(/^the run is over; how it ended is served at http:\/\/\S+ for 2m00s/m);
  expect(await metricsOf(run)).toMatch(/^locmoe_run_state\{state="failed",run="\S+"\} 1$/m);
  // Of the run only the serving process is left.
  expect(run.descendants()).toEqual([run.child.pid]);
  expect(run.output).toMatch(/look: \S+cli\.js inspect --run \S+/);

  const [, command] = /^ {2}resume: \S+cli\.js (.*) {2}# from step-\d+$/m.exec(run.output)!;
  const resumed = new Locmoe(command.split(' '), UNHURRIED);
  await resumed.until(/^step +\d+\//m);
  expect((await run.finished).code).toBe(3);
  expect(await metricsOf(resumed)).toMatch(/^locmoe_generation\{run="\S+"\} 2$/m);
  resumed.interrupt();
  await resumed.until(/^the run is over; .* until Prometheus has asked, for 30s, or until Ctrl-C$/m);
  expect(await metricsOf(resumed)).toMatch(/^locmoe_run_state\{state="finished",run="\S+"\} 1$/m);
  expect((await resumed.finished).code).toBe(130);
});

it('a signal ends it with the exit code of the run', async () => {
  const layout = { folder: temporaryFolder(), nodes: 1, workersPerNode: 1 };
  const run = startTraining({ ...layout, sets: ['train.steps=2'], more: ['--linger'] });
  await run.until(/^the run is over; .* until Ctrl-C/m);
  run.child.kill('SIGTERM');
  expect((await run.finished).code).toBe(0);
  await run.expectNothingLeft();
});
