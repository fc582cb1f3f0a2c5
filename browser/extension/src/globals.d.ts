/** Set by the build. */
declare const FIREFOX: boolean;
