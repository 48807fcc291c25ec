#!/bin/sh
# GIT_ASKPASS: answers git's two questions for the remote's own scheme and host; after a redirect to another one it
# answers nothing. The answers come from the environment, which only this git has.
case $1 in
"Username for '$HOLDFAST_GIT_ASK_FOR'"*) printf '%s\n' "$HOLDFAST_GIT_USERNAME" ;;
"Password for '${HOLDFAST_GIT_ASK_FOR%%://*}://"*"@${HOLDFAST_GIT_ASK_FOR#*://}'"*) printf '%s\n' "$HOLDFAST_GIT_TOKEN" ;;
*) exit 1 ;;
esac
