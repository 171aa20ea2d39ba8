// The server gives out this module of @locmoe/run-format here; browsers do not resolve names of packages.
export * from '@locmoe/run-format/settings';
