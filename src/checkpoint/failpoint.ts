/**
 * A point of a save at which a test can kill the process, `LOCMOE_FAIL=checkpoint.<point>`, stop it until it gets SIGCONT,
 * `LOCMOE_FAIL=checkpoint.<point>:stop`, or find the disk full, `LOCMOE_FAIL=checkpoint.<point>:full`. It acts once.
 */
export function failpoint(point: string): void {
  const [wanted, action] = process.env.LOCMOE_FAIL?.split(':') ?? [];
  if (wanted !== `checkpoint.${point}`) return;
  delete process.env.LOCMOE_FAIL;
  if (action === 'full')
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  process.kill(process.pid, action === 'stop' ? 'SIGSTOP' : 'SIGKILL');
}
