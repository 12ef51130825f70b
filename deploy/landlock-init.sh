#!/bin/busybox sh
# The first process of the emulated machine: runs the test of the fence, tells the verdict on the
# console, and switches the machine off.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
ip link set lo up
for word in $(cat /proc/cmdline); do
    case $word in pinfold.*) export "PINFOLD_LANDLOCK=${word#pinfold.landlock=}" ;; esac
done
echo "landlock-test: $(uname -r), Landlock should be $PINFOLD_LANDLOCK"
/test --test-threads=1
echo "landlock-test: verdict $?"
poweroff -f
