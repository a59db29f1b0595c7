# shellcheck shell=bash
# mpirun keeps its files in <temporary folder>/ompi.<process number>. It ends with 213 ("The PMIx server's listener
# thread failed to start") if a killed mpirun has left files under the same number. The shell that becomes mpirun by exec
# already has that number.

avoid_stale_tmp() { # selects another temporary folder if that of this process number exists
    [ -e "${TMPDIR:-/tmp}/ompi.$BASHPID" ] || return 0
    PRTE_MCA_prte_tmpdir_base=$(mktemp -d "${TMPDIR:-/tmp}/hpcmtl.XXXXXX") || return 0
    export PRTE_MCA_prte_tmpdir_base
}
