import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generationOf, readJournal, stepOf } from '@locmoe/run-format';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { hasSlurm } from '../../scripts/slurm.mjs';
import { committedFolders } from '../../src/checkpoint/folders.js';
import { pathWithCommands } from '../e2e/documented-commands.js';
import { DATA_DIR, Locmoe, lossCurve, MICRO, ROOT, trainToTheEnd, UNHURRIED } from '../e2e/support.js';
import { IS_ROOT } from '../foreign-port.js';
import { NIGHTLY } from '../nightly.js';
import { SlurmCluster } from './slurm-cluster.js';

const JOB = path.join(ROOT, 'deploy/slurm/locmoe.sbatch');
const STEPS = 'train.steps=12';
const ASKED = /^SIGTERM: finishing this step/gm;
const CAN_RUN = IS_ROOT && hasSlurm();
if (!CAN_RUN)
  console.warn(
    'SKIPPED: every test with Slurm: it is not installed, or this is not root; as root on Debian: node scripts/slurm.mjs',
  );

describe.skipIf(!CAN_RUN)('a Slurm job', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-slurm-'));
  let cluster: SlurmCluster;
  let env: Record<string, string> = {};

  beforeAll(async () => {
    cluster = await SlurmCluster.start(folder, ['n1', 'n2', 'n3']);
    const PATH = pathWithCommands(folder);
    const tls = path.join(folder, 'tls');
    env = { ...cluster.env, PATH, LOCMOE_TLS_DIR: tls, LOCMOE_TOKEN_FILE: path.join(tls, 'token') };
    writeFileSync(path.join(folder, 'micro.yaml'), MICRO);
    expect((await type(`locmoe certs --out ${tls}`).finished).code).toBe(0);
  });

  afterAll(async () => {
    await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const type = (line: string, more: Readonly<Record<string, string>> = {}) =>
    new Locmoe([line], { ...env, ...more }, ['sh', '-c'], folder);

  /** Submits the job script and waits for the job's end. */
  function submit(options: string, training: string, more: Readonly<Record<string, string>> = {}) {
    const job = type(
      `exec sbatch --wait --cpus-per-task=1 --mem=1G ${options} ${JOB} --config micro.yaml --data-dir '${DATA_DIR}' --no-samples ${training}`,
      more,
    );
    const id = async () => (await job.until(/Submitted batch job (\d+)/))[1]!;
    onTestFailed(async () =>
      console.error(outputOf(await id()), cluster.ask('scontrol', 'show', 'job', await id())),
    );
    return { job, id };
  }

  const outputOf = (id: string) => {
    try {
      return readFileSync(path.join(folder, `slurm-${id}.out`), 'utf8');
    } catch {
      return '';
    }
  };

  /** Waits until the job has written a pattern `times` times. */
  const written = (id: string, pattern: RegExp, times = 1) =>
    expect
      .poll(() => [...outputOf(id).matchAll(pattern)].length, { timeout: 120_000, interval: 200 })
      .toBeGreaterThanOrEqual(times);

  const runOf = (id: string) => {
    const runs = path.join(folder, 'runs', id);
    const names = readdirSync(runs).filter((name) => name.startsWith('micro-'));
    expect(names).toHaveLength(1);
    return path.join(runs, names[0]!);
  };

  it('trains as one command does, in an array and when a node agent is killed', async () => {
    // The index is the seed of the recipe.
    const sets = `--set seed=%a --set cluster.maxRestarts=1 --set train.checkpointEvery=5 --set ${STEPS}`;
    const submitted = submit('--array=7', sets, UNHURRIED);
    const { job } = submitted;
    const id = async () => `${await submitted.id()}_7`;
    await written(await id(), /^checkpoint at step 5:/gm);
    process.kill(job.pidsOf('agent').at(-1)!, 'SIGKILL');
    const [{ code }, local] = await Promise.all([
      job.finished,
      trainToTheEnd({
        folder: mkdtempSync(path.join(folder, 'local-')),
        nodes: 1,
        workersPerNode: 1,
        sets: [STEPS],
      }),
    ]);
    expect(code, outputOf(await id())).toBe(0);
    expect(outputOf(await id())).toMatch(/^recovered: /m);
    const expected = lossCurve(local);
    const curve = lossCurve(runOf(await id()));
    expect([...curve.keys()]).toEqual([...expected.keys()]);
    for (const [step, loss] of curve) expect(loss).toBeCloseTo(expected.get(step)!, 4);
    await job.expectNothingLeft();
  });

  it.runIf(NIGHTLY)('ends for more memory than was asked for', async () => {
    const { job, id } = submit('', '--set model.dModel=4096');
    expect((await job.finished).code, outputOf(await id())).toBe(2);
    expect(outputOf(await id())).toMatch(/on this machine would need .*, and it has 1\.1 GB/);
    await job.expectNothingLeft();
  });

  // By day the tests of launch.test.ts stand for this one, which takes two minutes.
  it.runIf(NIGHTLY)(
    'goes on elsewhere when a machine is lost, again after the time limit, and saves when it is cancelled',
    async () => {
      const { job, id } = submit(
        '--time=60 --signal=TERM@250',
        '--set train.steps=100000 --set train.checkpointEvery=5',
        UNHURRIED,
      );
      const number = await id();
      const newest = () => committedFolders(path.join(runOf(number), 'checkpoints'))[0]!;
      /** Waits until a generation has begun from a checkpoint of the one before, and saved one of its own. */
      const goesOn = async (generation: number, from: string) => {
        await expect.poll(() => generationOf(newest()), { timeout: 120_000 }).toBe(generation);
        const start = readJournal(path.join(runOf(number), 'journal.ndjson')).find(
          (entry) => entry.type === 'generation' && entry.generation === generation,
        );
        expect(start?.type === 'generation' && start.from.step).toBeGreaterThanOrEqual(stepOf(from));
      };
      const nodes = () => cluster.ask('squeue', '--noheader', '--format=%N', '--jobs', number);
      await written(number, /^checkpoint at step \d+:/gm);
      expect(nodes()).toBe('n[1-2]');
      const first = newest();
      cluster.kill('n2');
      await goesOn(2, first);
      expect(nodes()).toBe('n[1,3]');

      const status = await type(`locmoe status --runs-dir runs/${number}`).finished;
      expect([status.code, status.stdout]).toEqual([0, expect.stringMatching(/: running, generation 2$/m)]);
      const second = newest();
      const numAsked = () => [...outputOf(number).matchAll(ASKED)].length;
      const before = numAsked();
      // The signal is then due at once; Slurm checks every 30 seconds.
      cluster.ask('scontrol', 'update', `JobId=${number}`, 'TimeLimit=5');
      await written(number, ASKED, before + 1);
      cluster.ask('scontrol', 'update', `JobId=${number}`, 'TimeLimit=60');
      await goesOn(3, second);

      const third = newest();
      cluster.ask('scancel', number);
      await job.finished;
      await written(number, ASKED, before + 2);
      await job.expectNothingLeft();
      expect(stepOf(newest())).toBeGreaterThan(stepOf(third));
      const steps = [...lossCurve(runOf(number)).keys()];
      expect(steps).toEqual(steps.map((_, index) => index + 1));
    },
  );
});
