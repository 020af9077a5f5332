/** The release whose command lines and data this calicoctl speaks. */

export const clientVersion = "v3.32.1";
