import type { Command } from 'commander';
import type { LaunchOptions } from '../launched-task.js';
import { addServingOptions } from './serve.js';

/** `locmoe launch`: takes part in a run as one task; a launcher runs the same command in every task. */
export function launchCommand(command: Command): void {
  addServingOptions(command, '0.0.0.0:0')
    .addHelpText(
      'after',
      `
The first task leads the run as \`locmoe serve\` does and writes its address into --runs-dir, which all tasks share; every task is
a node. When one ends, all end, with the run's exit code. Rank, number of tasks and a name of the launch come from Slurm
(srun) or OpenMPI (mpirun), or from LOCMOE_RANK, LOCMOE_SIZE and LOCMOE_JOB. --nodes is the number of tasks.

Examples:
  srun --ntasks-per-node=1 locmoe launch --config tiny --tls tls --token-file tls/token
  mpirun -n 2 locmoe launch --config tiny --listen 127.0.0.1:0      two nodes on this machine`,
    )
    .action(async (options: Omit<LaunchOptions, 'security'>) => {
      const { loadSecurity } = await import('../../rpc/security.js');
      const security = loadSecurity(options);
      const { launch } = await import('../launched-task.js');
      process.exitCode = await launch({ ...options, security });
    });
}
