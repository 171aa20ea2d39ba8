/**
 * A point of a save at which a test injects a failure, once: `LOCMOE_FAIL=checkpoint.<point>` kills the
 * process, with `:stop` appended it stops it until SIGCONT, with `:full` it reports a full disk.
 */
export function failpoint(point: string): void {
  const [wanted, action] = process.env.LOCMOE_FAIL?.split(':') ?? [];
  if (wanted !== `checkpoint.${point}`) return;
  delete process.env.LOCMOE_FAIL;
  if (action === 'full')
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  process.kill(process.pid, action === 'stop' ? 'SIGSTOP' : 'SIGKILL');
}
