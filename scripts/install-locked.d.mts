export function installLocked(folder: string, name: string, log: (line: string) => void): Promise<void>;
export function removeUnread(modules: string): void;
