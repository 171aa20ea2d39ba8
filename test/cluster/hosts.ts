import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const SUBNET = '10.77.0';
/** Files below this folder replace those of /etc in a network namespace of the same name (ip-netns(8)). */
const NETNS_ETC = '/etc/netns';

/**
 * Hosts of a network of their own on this machine: each has its own interfaces, loopback, ports, names and host name. They
 * share files, processes and clocks, as machines with a network file system and NTP do.
 */
export class Hosts {
  readonly #switch = `lm${process.pid}-switch`;

  /**
   * @param names host names; each host resolves all of them
   * @throws Error with what `ip` printed, where namespaces cannot be made
   */
  constructor(readonly names: readonly string[]) {
    const table = names.map((name, index) => `${SUBNET}.${index + 1} ${name}\n`).join('');
    ip('netns', 'add', this.#switch);
    ip('-n', this.#switch, 'link', 'add', 'bridge', 'type', 'bridge');
    ip('-n', this.#switch, 'link', 'set', 'bridge', 'up');
    for (const [index, name] of names.entries()) {
      const host = this.#namespaceOf(name);
      ip('netns', 'add', host);
      const etc = path.join(NETNS_ETC, host);
      mkdirSync(etc, { recursive: true });
      writeFileSync(path.join(etc, 'hosts'), `127.0.0.1 localhost\n${table}`);
      const cable = ['link', 'add', 'eth0', 'netns', host, 'type', 'veth', 'peer', 'name', name];
      ip(...cable, 'netns', this.#switch);
      ip('-n', this.#switch, 'link', 'set', name, 'master', 'bridge', 'up');
      ip('-n', host, 'addr', 'add', `${SUBNET}.${index + 1}/24`, 'dev', 'eth0');
      for (const device of ['lo', 'eth0']) ip('-n', host, 'link', 'set', device, 'up');
    }
  }

  /** Returns the program and first arguments that run a line of shell on a host. */
  shellOn(name: string): string[] {
    // The line is the script's first argument. Like an interactive shell, this one outlives Ctrl-C.
    const script = `hostname '${name}'; trap : INT; eval "$0"`;
    return ['ip', 'netns', 'exec', this.#namespaceOf(name), 'unshare', '--uts', 'sh', '-c', script];
  }

  close(): void {
    for (const name of [...this.names.map((each) => this.#namespaceOf(each)), this.#switch]) {
      spawnSync('ip', ['netns', 'delete', name]);
      rmSync(path.join(NETNS_ETC, name), { recursive: true, force: true });
    }
  }

  #namespaceOf(name: string): string {
    return `lm${process.pid}-${name}`;
  }
}

/** Says why such hosts cannot be made here; null if they can. */
export function whyNoHosts(): string | null {
  const probe = `lm${process.pid}-probe`;
  const { error, status, stderr } = spawnSync('ip', ['netns', 'add', probe], { encoding: 'utf8' });
  if (error !== undefined) return 'there is no `ip` command (package iproute2)';
  if (status !== 0) return `network namespaces cannot be made: ${stderr.trim()}`;
  spawnSync('ip', ['netns', 'delete', probe]);
  return null;
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}
