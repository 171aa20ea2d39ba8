import { TrainerError } from '../errors.js';

/** One of the tasks that a launcher started together. */
export interface Task {
  readonly rank: number;
  /** Number of tasks. */
  readonly size: number;
  /** Distinguishes this launch from others that share the runs folder; usable as a file name. */
  readonly job: string;
}

interface Launcher {
  readonly rank: string;
  readonly size: string;
  /** Variables whose values together name the launch; unset ones are left out. */
  readonly job: readonly string[];
}

/** The first launcher whose variables are set counts. Inside a Slurm job, `mpirun` gives its tasks the variables of both. */
const LAUNCHERS: readonly Launcher[] = [
  { rank: 'LOCMOE_RANK', size: 'LOCMOE_SIZE', job: ['LOCMOE_JOB'] },
  { rank: 'OMPI_COMM_WORLD_RANK', size: 'OMPI_COMM_WORLD_SIZE', job: ['PMIX_NAMESPACE'] },
  {
    rank: 'SLURM_PROCID',
    // This variable is set only in a job step: a batch script, which also has a SLURM_PROCID, is not a task.
    size: 'SLURM_STEP_NUM_TASKS',
    job: ['SLURM_JOB_ID', 'SLURM_STEP_ID', 'SLURM_RESTART_COUNT'],
  },
];

/**
 * Finds out which task of a launcher this process is.
 *
 * @throws TrainerError `BAD_INPUT` if it is not a task, or its variables are invalid
 */
export function taskOf(env: NodeJS.ProcessEnv): Task {
  const launcher = LAUNCHERS.find(({ rank, size }) => env[rank] !== undefined && env[size] !== undefined);
  if (launcher === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `no launcher started this process (${LAUNCHERS.map(({ rank, size }) => `${rank} and ${size}`).join(', or ')} are not set): start it with srun or mpirun; on this machine alone, locmoe train`,
    );
  const [rank, size] = [env[launcher.rank], env[launcher.size]].map((text) => wholeNumber(text));
  const job = launcher.job.flatMap((name) => env[name] ?? []).join('.');
  if (rank === undefined || size === undefined || rank >= size)
    throw new TrainerError(
      'BAD_INPUT',
      `${launcher.rank}=${env[launcher.rank]}, ${launcher.size}=${env[launcher.size]}: expected a whole number below another`,
    );
  if (!/^[\w@.-]+$/.test(job))
    throw new TrainerError(
      'BAD_INPUT',
      `${launcher.job[0]}=${job}: expected a name of this launch, the same for all its tasks and new for each launch`,
    );
  return { rank, size, job };
}

function wholeNumber(text = ''): number | undefined {
  return /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}
