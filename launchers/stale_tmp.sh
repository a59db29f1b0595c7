# shellcheck shell=bash
# mpirun keeps its files in <temporary folder>/ompi.<its process number> and ends with 213 ("The PMIx server's listener
# thread failed to start") where one that was killed has left its own under the same number. The shell that becomes
# mpirun by exec has that number already.

avoid_stale_tmp() { # have mpirun, which this shell is to become, use another folder where its own is taken
    [ -e "${TMPDIR:-/tmp}/ompi.$$" ] || return 0
    PRTE_MCA_prte_tmpdir_base=$(mktemp -d "${TMPDIR:-/tmp}/hpcmtl.XXXXXX") || return 0
    export PRTE_MCA_prte_tmpdir_base
}
