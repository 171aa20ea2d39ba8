import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { commandsOf } from '../e2e/documented-commands.js';
import { NIGHTLY } from '../nightly.js';
import { type Line, Project } from './project.js';
import { difference, micro, must, type Step, stepsOf } from './support.js';

const STEPS = 8;
const TOLERANCE = 1e-4;
const LIMIT = 'qdisc add dev eth0 root tbf rate 50mbit burst 32kbit latency 400ms';
const FILES = {
  'short.yaml': micro(STEPS, 100),
  'long.yaml': `${micro(100_000, 10)}cluster: { rejoinTimeoutS: 15 }\n`,
  'patient.yaml': micro(100_000, 10),
  'wrong-token': 'this-is-not-the-token-of-the-cluster\n',
};
/** A stranger listens on loopback only, so that it is the coordinator that refuses it. */
const STRANGER = ['node', '--coordinator=coordinator:50051', '--join-timeout=5'];

export function composeTests(): void {
  // The order matters: each test starts with the cluster as the test before left it.
  describe('docker compose', () => {
    let project: Project;
    let oneMachine: readonly Step[];

    beforeAll(() => {
      project = new Project(FILES);
    });

    afterAll(async () => {
      expect(await project.remove()).toBe('');
    });

    it('trains as one machine does, and ends with the code of the run', async () => {
      const alone = await project.beside('coordinator', [
        'train',
        '--config=/test/short.yaml',
        '--no-samples',
        '--nodes=1',
        '--workers-per-node=1',
      ]);
      expect(alone.code, alone.stderr).toBe(0);
      const runId = /run (micro-\S+):/.exec(alone.stdout)![1];
      oneMachine = await stepsOf(project.volume, runId);
      expect(oneMachine.length).toBe(STEPS);
      expect(oneMachine.at(-1)!.loss).toBeLessThan(oneMachine[0].loss - 0.1);

      const up = ['up', '--exit-code-from', 'coordinator'];
      const { code, stderr } = await project.compose(up, 'short.yaml', 240_000);
      expect(code, stderr).toBe(0);
      const steps = await stepsOf(project.volume, await runOf(project));
      expect(difference(oneMachine, steps)).toBeLessThan(TOLERANCE);
      const places = (await project.lines('node')).map(({ node, rank }) => `${node} ${rank}`);
      expect(places).toEqual(expect.arrayContaining(['0 0', '1 1']));
    });

    it.runIf(NIGHTLY)('only gets slower on a slow link', async ({ skip }) => {
      await project.up('short.yaml', 'node');
      const nodes = await project.containers('node');
      for (const id of nodes)
        if ((await tc(id, LIMIT)) === null)
          skipLoudly(skip, 'no root, nsenter or tc to limit the link of a container');
      await project.up('short.yaml', 'coordinator');
      expect(await project.exitCode()).toBe(0);
      const steps = await stepsOf(project.volume, await runOf(project));
      expect(difference(oneMachine, steps)).toBeLessThan(TOLERANCE);
      for (const id of nodes) {
        const [{ overlimits }] = JSON.parse((await tc(id, '-json -statistics qdisc show dev eth0'))!);
        expect(overlimits, 'packets that the limit held back').toBeGreaterThan(STEPS);
      }
      await project.compose(['rm', '--stop', '--force', 'node', 'coordinator']);
    });

    it('answers commands from other containers', async () => {
      await project.up('long.yaml');
      await project.line('a checkpoint', ({ msg }) => msg.startsWith('checkpoint at step'));
      const runId = await runOf(project);

      const status = await project.beside('coordinator', ['status']);
      expect(status.code, status.stderr).toBe(0);
      expect(status.stdout).toContain(runId);
      expect(status.stdout).toContain('running');

      const logs = await project.beside('coordinator', ['logs', '--json', '--level=info']);
      expect(logs.code, logs.stderr).toBe(0);
      const ranks = new Set(
        logs.stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line).rank),
      );
      expect([...ranks]).toEqual(expect.arrayContaining([0, 1]));
    });

    it('refuses a node with a wrong token, and trains on', async () => {
      const { code, stderr } = await project.beside('node', STRANGER, {
        LOCMOE_TOKEN_FILE: '/test/wrong-token',
      });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/coordinator:50051 refused the join token/);

      const { step: last = 0 } = await project.line('a step', isStep);
      await project.line('a step after that', (line) => isStep(line) && line.step! > last);
    });

    it('saves a checkpoint that loads when the coordinator is stopped', async () => {
      const runId = await runOf(project);
      const [id] = await project.containers('coordinator');
      await must('docker', ['stop', id], { timeoutMs: 70_000 });
      expect(await project.exitCode()).toBe(130);
      const { msg } = await project.line('the last checkpoint', ({ msg }) =>
        msg.startsWith('checkpoint at step'),
      );
      const steps = await stepsOf(project.volume, runId);
      expect(msg).toContain(`step ${steps.at(-1)!.step}:`);
      await expectText(project, runId);
    });

    it('goes on by itself when a node dies and its container is started again', async () => {
      const { generation: first = 0 } = await project.line('a step', isStep);
      await project.up('long.yaml');
      const { generation = 0 } = await project.line('the next generation', isStepAfter(first));
      const [victim] = await project.containers('node');
      // Killing the container's first process ends the container; `docker kill` would count as a requested stop.
      process.kill(await inspected(victim, '.State.Pid'), 'SIGKILL');
      const { msg } = await project.line('the recovery', ({ msg }) => msg.startsWith('recovered'));
      expect(msg).toMatch(/^recovered: detected in \d+\.\d s, restarted in \d+\.\d s, .* done again$/);
      await project.line('one more generation', isStepAfter(generation));
      expect(await project.containers('node')).toContain(victim);
      expect([await inspected(victim, '.RestartCount'), await restartsOfCoordinator(project)]).toEqual([
        1, 0,
      ]);
      const status = await project.beside('coordinator', ['status']);
      expect(status.stdout).toMatch(/restarted: node [01], .*\n.*\n +detected in/);
    });

    it.runIf(NIGHTLY)(
      'fails when a node stays away, naming it, and goes on from another coordinator once one is in its place',
      async () => {
        const { run, generation: last = 0 } = await project.line('a step', isStep);
        const [victim] = await project.containers('node');
        await must('docker', ['kill', victim]);
        const { msg } = await project.line('the failure', ({ msg }) => msg.startsWith('run failed'));
        expect(msg).toMatch(/^run failed: .*1 of 2 nodes/);

        await project.up('long.yaml', 'node');
        const step = await project.line('a later generation', isStepAfter(last));
        expect(step.run).toBe(run);
        expect(await restartsOfCoordinator(project)).toBe(1);
      },
    );

    it.runIf(NIGHTLY)('does what docs/tutorials/cluster.md tells to type', async () => {
      await project.compose(['down', '--volumes']);
      const [build, up, status, kill, warnings, ...later] = commandsOf('docs/tutorials/cluster.md');
      const [statusThen, upAgain, statusAtLast, curl, services, ...last] = later;
      const [following, followingAll, stop, down, ...others] = last;
      // The image is built already, images are not pulled here, and the two commands that follow logs for ever are
      // tested elsewhere.
      expect([build, services]).toEqual([
        'docker compose build',
        'docker compose --profile observability up --detach',
      ]);
      expect([following, followingAll]).toEqual([
        expect.stringMatching(/--follow/),
        expect.stringMatching(/--follow/),
      ]);
      expect(others).toEqual([]);
      const type = (command = '') => {
        const line = command.replace('locmoe-node-2', `${project.name}-node-2`);
        return must('sh', ['-c', line], { env: project.environment('patient.yaml'), timeoutMs: 120_000 });
      };

      await type(up);
      const { generation = 0 } = await project.line('a step', isStep);
      expect(await type(status)).toContain('running');
      await type(kill);
      await project.line('the restart', ({ msg }) => /; restarting \(/.test(msg));
      expect(await type(warnings)).toMatch(/node [01]/);
      expect(await type(statusThen)).toMatch(/: (waiting|restarting), /);
      await type(upAgain);
      await project.line('the next generation', isStepAfter(generation));
      expect(await type(statusAtLast)).toMatch(/restarted: node [01], /);
      const address = (await type('docker compose port coordinator 8080')).trim();
      expect(await type(curl!.replace('127.0.0.1:8080', address))).toMatch(
        /^locmoe_restarts_total\{.*\} 1$/m,
      );
      await type(stop);
      expect(await project.exitCode()).toBe(130);
      await type(down);
    });
  });
}

async function inspected(id: string, field: string): Promise<number> {
  return Number(await must('docker', ['inspect', '--format', `{{${field}}}`, id]));
}

/** Returns how often its restart policy has started the coordinator again. */
async function restartsOfCoordinator(project: Project): Promise<number> {
  const [id] = await project.containers('coordinator');
  return inspected(id, '.RestartCount');
}

function isStepAfter(last: number): (line: Line) => boolean {
  return (line) => isStep(line) && (line.generation ?? 0) > last;
}

function isStep({ msg }: Line): boolean {
  return /^step +\d+\//.test(msg);
}

/** Returns the newest run of the coordinator. */
async function runOf(project: Project): Promise<string> {
  return (await project.line('a run', ({ run = '' }) => run !== '')).run!;
}

async function expectText(project: Project, runId: string): Promise<void> {
  const args = ['generate', `--checkpoint=runs/${runId}`, '--prompt=The ', '--domain=en', '--max-tokens=5'];
  const { code, stdout, stderr } = await project.beside('coordinator', args);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^The ./);
}

/** Runs the host's `tc` in the network of a container, whose image has no `tc`; null if that is impossible. */
async function tc(id: string, command: string): Promise<string | null> {
  const pid = (await must('docker', ['inspect', '--format', '{{.State.Pid}}', id])).trim();
  try {
    return await must('nsenter', ['--target', pid, '--net', 'tc', ...command.split(' ')]);
  } catch {
    return null;
  }
}
