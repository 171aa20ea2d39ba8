export function hasSlurm(): boolean;
