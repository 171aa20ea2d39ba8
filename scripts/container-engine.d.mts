type Log = (line: string) => void;
export function runningEngine(): string | null;
export function startEngine(log: Log, options?: { readonly install?: boolean }): Promise<string>;
export function stopEngine(log: Log, options?: { readonly purge?: boolean }): Promise<void>;
