#!/bin/bash
# A Slurm job array over one output folder: each job takes parts that no other job is working on.
#
#   mkdir -p output
#   sbatch --array=1-16 docs/slurm_array.sh --set dataset.path=/shared/GigaMIDI --set output.dir=output/gigamidi-train
#
# Arguments after the script's name go to 01_annotate.py. Submit from the project's folder, on a file system that all
# machines share. One GPU for each job: --gpus=1, and --set model.device=cuda.

#SBATCH --job-name=valence-arousal
#SBATCH --cpus-per-task=4
#SBATCH --mem=6G
#SBATCH --time=06:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=output/%x-%A-%a.log

set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
if [ -f .venv/bin/activate ]; then
    source .venv/bin/activate # without it, the environment that was active at submission is used
fi
# one processor is for the main process, the others convert
settings=(--set "compute.workers=$((SLURM_CPUS_PER_TASK > 1 ? SLURM_CPUS_PER_TASK - 1 : 1))")
# SHARED_LOCKS=no, for a file system without locks: each job then takes a fixed share of the parts
if [ "${SHARED_LOCKS:-yes}" = no ]; then
    settings+=(--set "compute.share=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))/$SLURM_ARRAY_TASK_COUNT")
fi
exec python process_gigamidi/01_annotate.py "${settings[@]}" "$@"
