import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** A TCP socket of this machine that listens. */
interface Listener {
  readonly uid: number;
  readonly inode: string;
}

const LISTENS = '0A';
const NAME = { address: 1, state: 3, uid: 7, inode: 9 } as const;

/** True if something listens at the port, and all that does belongs to this user. */
export function isOwnPort(port: number): boolean {
  const listeners = listenersAt(port);
  return listeners.length > 0 && listeners.every(({ uid }) => uid === process.geteuid?.());
}

/**
 * Paths of the files that are open in the process of this user that listens at a port.
 *
 * @returns empty if another user listens there, or nobody does
 */
export function openFilesBehind(port: number): string[] {
  if (!isOwnPort(port)) return [];
  const sockets = listenersAt(port).map(({ inode }) => `socket:[${inode}]`);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const files = openFilesOf(pid);
    if (files.some((file) => sockets.includes(file))) return files;
  }
  return [];
}

/** All addresses count, IPv4 and IPv6: a name such as `localhost` may lead to several. */
function listenersAt(port: number): Listener[] {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    linesOf(table)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[NAME.address]?.endsWith(end) && fields[NAME.state] === LISTENS)
      .map((fields) => ({ uid: Number(fields[NAME.uid]!), inode: fields[NAME.inode]! })),
  );
}

/** Empty without IPv6. */
function linesOf(table: string): string[] {
  try {
    return readFileSync(table, 'utf8').split('\n');
  } catch {
    return [];
  }
}

/** Empty for a process of another user, or one that has ended. */
function openFilesOf(pid: string): string[] {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.geteuid?.()) return [];
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

function linkOf(link: string): string[] {
  try {
    return [readlinkSync(link)];
  } catch {
    return [];
  }
}
