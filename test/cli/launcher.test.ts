import { describe, expect, it } from 'vitest';
import { taskOf } from '../../src/cli/launcher.js';

const SLURM = { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '4', SLURM_JOB_ID: '12', SLURM_STEP_ID: '0' };
const MPI = { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2', PMIX_NAMESPACE: 'prterun-host-7@1' };

describe('the task of a launcher', () => {
  it('is what Slurm, OpenMPI or the launcher of the user says', () => {
    expect(taskOf(SLURM)).toEqual({ rank: 1, size: 4, job: '12.0' });
    expect(taskOf({ ...SLURM, SLURM_RESTART_COUNT: '2' })).toEqual({ rank: 1, size: 4, job: '12.0.2' });
    expect(taskOf({ ...SLURM, ...MPI })).toEqual({ rank: 0, size: 2, job: 'prterun-host-7@1' });
    expect(taskOf({ LOCMOE_RANK: '2', LOCMOE_SIZE: '3', LOCMOE_JOB: 'a' })).toEqual({
      rank: 2,
      size: 3,
      job: 'a',
    });
  });

  it.each([
    [{}, /^no launcher started this process .*: start it with srun or mpirun/],
    // A batch script.
    [{ SLURM_PROCID: '0', SLURM_NTASKS: '4', SLURM_JOB_ID: '12' }, /^no launcher/],
    [{ ...SLURM, SLURM_PROCID: '4' }, /^SLURM_PROCID=4, SLURM_STEP_NUM_TASKS=4: expected/],
    [{ LOCMOE_RANK: 'x', LOCMOE_SIZE: '3', LOCMOE_JOB: 'a' }, /^LOCMOE_RANK=x/],
    [{ LOCMOE_RANK: '0', LOCMOE_SIZE: '3' }, /^LOCMOE_JOB=: expected a name/],
    [{ LOCMOE_RANK: '0', LOCMOE_SIZE: '3', LOCMOE_JOB: '../a' }, /^LOCMOE_JOB=\.\.\/a: expected a name/],
  ])('is refused for %o', (env, line) => {
    expect(() => taskOf(env)).toThrow(line);
  });
});
