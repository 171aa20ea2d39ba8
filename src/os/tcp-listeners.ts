import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** A TCP socket of this machine that listens. */
interface Listener {
  readonly uid: number;
  readonly inode: string;
}

const LISTENS = '0A';
const NAME = { address: 1, state: 3, uid: 7, inode: 9 } as const;

/** Tells whether something listens at the port, and all its listeners belong to this user. */
export function isOwnPort(port: number): boolean {
  const listeners = listenersAt(port);
  return listeners.length > 0 && listeners.every(({ uid }) => uid === process.geteuid?.());
}

/**
 * Returns the paths of the files that are open in this user's process that listens at a port.
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

/** Lists listeners at all addresses, IPv4 and IPv6: a name such as `localhost` may lead to several. */
function listenersAt(port: number): Listener[] {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    linesOf(table)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[NAME.address]?.endsWith(end) && fields[NAME.state] === LISTENS)
      .map((fields) => ({ uid: Number(fields[NAME.uid]!), inode: fields[NAME.inode]! })),
  );
}

/** Returns the lines of a table of the kernel; none if it is missing, as without IPv6. */
function linesOf(table: string): string[] {
  try {
    return readFileSync(table, 'utf8').split('\n');
  } catch {
    return [];
  }
}

/** Returns the open files of a process; none if it belongs to another user or has ended. */
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
