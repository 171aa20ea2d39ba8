import type { Log } from './progress.d.mts';

export function installLocked(folder: string, name: string, log: Log): Promise<void>;
export function removeUnread(modules: string): void;
