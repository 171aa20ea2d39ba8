import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TEST_IMAGE } from '../../scripts/test-image.mjs';
import { skipLoudly } from '../debian-tool.js';
import { leftOf } from './project.js';
import { micro, must, run, stepsOf, until } from './support.js';

const STEPS = 4;
const STACK = `locmoe-test-${process.pid}`;
/** The image runs as this user. */
const UID = 10001;

export function swarmTests(): void {
  describe('deploy/swarm.yml', () => {
    let isInSwarm = false;
    const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-swarm-'));
    const work = path.join(folder, 'work');
    const tls = path.join(folder, 'tls');

    beforeAll(async () => {
      isInSwarm = (await swarmState()) !== 'inactive';
      if (isInSwarm) return;
      for (const directory of [work, tls]) {
        mkdirSync(directory);
        chownSync(directory, UID, UID);
      }
      writeFileSync(path.join(work, 'recipe.yaml'), micro(STEPS, 100));
      await must('docker', [
        'run',
        '--rm',
        '--network=none',
        `--volume=${tls}:/tls`,
        TEST_IMAGE,
        'certs',
        '--out=/tls',
      ]);
      await must('docker', ['swarm', 'init', '--advertise-addr', '127.0.0.1']);
    });

    afterAll(async () => {
      if (isInSwarm) return;
      try {
        await run('docker', ['stack', 'rm', STACK]);
        const label = `com.docker.stack.namespace=${STACK}`;
        await until('the end of the stack', async () =>
          (await leftOf(label, 'ps', 'network')) === '' ? true : null,
        );
        await run('docker', ['volume', 'rm', '--force', `${STACK}_work`]);
        expect(await leftOf(label)).toBe('');
      } finally {
        await run('docker', ['swarm', 'leave', '--force']);
        await run('docker', ['network', 'rm', 'docker_gwbridge']);
        rmSync(folder, { recursive: true, force: true });
      }
    });

    it('deploys and trains', async ({ skip }) => {
      if (isInSwarm) skipLoudly(skip, 'this engine belongs to a swarm, which is left alone');
      const deploy = ['stack', 'deploy', '--resolve-image=never', '--compose-file=deploy/swarm.yml', STACK];
      await must('docker', deploy, {
        env: {
          LOCMOE_IMAGE: TEST_IMAGE,
          CONFIG: '/var/lib/locmoe/recipe.yaml',
          NODES: '2',
          WORKERS: '2',
          NODES_PER_MACHINE: '2',
          LINGER: '0',
          VOLUME_DEVICE: work,
          TLS_DIR: tls,
        },
      });
      const state = await until('the end of the coordinator', async () => {
        const format = ['--no-trunc', '--format', '{{.CurrentState}} {{.Error}}'];
        const tasks = await must('docker', ['service', 'ps', ...format, `${STACK}_coordinator`]);
        return /^(Complete|Failed|Rejected).*$/m.exec(tasks)?.[0] ?? null;
      });
      expect(state).toMatch(/^Complete/);
      const runs = await must('docker', [
        'run',
        '--rm',
        `--volume=${work}:/work`,
        '--entrypoint=ls',
        TEST_IMAGE,
        '/work/runs',
      ]);
      const steps = await stepsOf(work, runs.trim());
      expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
      const nodes = await must('docker', ['service', 'logs', '--raw', `${STACK}_node`]);
      for (const rank of [0, 1, 2, 3]) expect(nodes).toContain(`"rank":${rank},`);
    });
  });
}

async function swarmState(): Promise<string> {
  return (await must('docker', ['info', '--format', '{{.Swarm.LocalNodeState}}'])).trim();
}
