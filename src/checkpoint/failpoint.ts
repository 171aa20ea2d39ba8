/**
 * A point of a save at which a test can kill the process, `LOCMOE_FAIL=checkpoint.<point>`, or stop it until it gets
 * SIGCONT, `LOCMOE_FAIL=checkpoint.<point>:stop`. It acts once.
 */
export function failpoint(point: string): void {
  const [wanted, action] = process.env.LOCMOE_FAIL?.split(':') ?? [];
  if (wanted !== `checkpoint.${point}`) return;
  delete process.env.LOCMOE_FAIL;
  process.kill(process.pid, action === 'stop' ? 'SIGSTOP' : 'SIGKILL');
}
