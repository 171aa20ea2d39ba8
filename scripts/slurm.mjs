// Slurm, for the tests of its jobs. `install` gets it with apt-get, which needs root on Debian and is done
// only on request.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { aptInstall, whyNotInstallable } from './apt-install.mjs';

const log = (line) => console.error(`[slurm] ${line}`);

/** Whether the daemons of a cluster can be started here. */
export function hasSlurm() {
  return ['slurmctld', 'slurmd', 'munged'].every(
    (name) => spawnSync(name, ['--version']).error === undefined,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    const reason = hasSlurm() ? null : whyNotInstallable();
    if (reason !== null) throw new Error(`no Slurm here, and it cannot be installed: ${reason}`);
    if (!hasSlurm()) aptInstall(['slurm-wlm', 'munge'], log);
    log('slurmctld, slurmd and munged are here');
  } catch (error) {
    log(error.message);
    process.exitCode = 2;
  }
