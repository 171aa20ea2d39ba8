import { existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const WORK_FOLDER = /^\.set-up-(\d+)-/;

/**
 * Runs `action` with a new folder inside `parent`, and afterwards removes the folder, as well as those of
 * killed set-ups. A signal to this process aborts the AbortSignal that `action` gets, and ends the process.
 * @template T
 * @param {string} parent
 * @param {(work: string, interruption: AbortSignal) => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function inWorkFolder(parent, action) {
  for (const name of readdirSync(parent)) {
    const pid = Number(WORK_FOLDER.exec(name)?.[1] ?? process.pid);
    // npm may outlive a set-up that was killed, and still write; what is left then is for the next set-up.
    if (pid !== process.pid && !existsSync(`/proc/${pid}`))
      await rm(path.join(parent, name), { recursive: true, force: true }).catch(() => undefined);
  }
  const work = await mkdtemp(path.join(parent, `.set-up-${process.pid}-`));
  // npm may still write while it ends.
  const remove = () => rmSync(work, { recursive: true, force: true, maxRetries: 5 });
  const interruption = new AbortController();
  const interrupted = () => {
    interruption.abort();
    remove();
    process.exit(130);
  };
  for (const signal of SIGNALS) process.on(signal, interrupted);
  try {
    return await action(work, interruption.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    remove();
  }
}
