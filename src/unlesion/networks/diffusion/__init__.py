"""The engine of diffusion methods: schedule, process, noise, network, samplers."""
