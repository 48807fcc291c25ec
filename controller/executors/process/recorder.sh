# Runs one command and writes how it ended: exit.json, 256 bytes, in place and renamed, until that works (design 6).
#
# It outlives the supervisor and the controller, so it is as small as a process can be and knows nothing but this.
# fd 0: the gate: "go" lets the command run, end of file means that it never will
# fd 1, 2: /dev/null    fd 6: output.log    fd 8: the run directory    fd 9: recorder.lock, locked
# Arguments: oom_score_adj, open files or "", cgroup directory or "", paths of setsid, mv and sleep, then the command.
# A trap with a command is reset in children, an ignored signal ('') would be inherited by the command.
trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE
oom=$1 files=$2 cgroup=$3 setsid=$4 mv=$5 sleep=$6
shift 6
dir=/proc/self/fd/8

record() {
    unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT # they are the command's: mv may not even start with them
    until printf '%-255s\n' "$1" 1<>$dir/exit.reserved && "$mv" -f $dir/exit.reserved $dir/exit.json; do
        [ -e $dir/attempt.json ] || exit 1 # the run directory was deleted: there is nobody to tell
        "$sleep" 1
    done
}

read -r word || word=
if [ "$word" != go ]; then
    record '{"version":1,"neverStarted":true,"message":"the supervisor ended before it let the command go"}'
    exit 0
fi

# In a child: its pid becomes the command's. Its start time goes into recorder.lock, which has its blocks already.
(
    read -r stat </proc/self/stat && echo "$stat" >&9
    [ -z "$cgroup" ] || echo 0 >"$cgroup/cgroup.procs"
    echo "$oom" >/proc/self/oom_score_adj
    [ -z "$files" ] || ulimit -n "$files"
    exec </dev/null >&6 2>&6 6>&- 8<&- 9>&-
    exec "$setsid" "$@"
)
record "{\"version\":1,\"code\":$?}"
