export const NODE_VERSIONS: readonly string[];
export function majorOf(version: string): number;
export function fetchNode(version: string, place?: string): Promise<string>;
